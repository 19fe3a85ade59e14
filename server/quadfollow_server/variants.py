"""The ways in which a model can be run on each device; the first of a device is the plain one, which always stays.

Which one is taken is measured when a model is loaded: see :mod:`quadfollow_server.choice`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from quadfollow_core.errors import BadInput

AUTO = "auto"


@dataclass(frozen=True, slots=True, eq=False)
class Variant:
    """One way of running a model."""

    name: str
    options: Mapping[str, str] = field(default_factory=dict)
    """Options of the device's first provider, or OpenVINO's properties of the compiled model."""
    bound: bool = False
    """Through buffers that stay where they are, instead of new ones for every frame."""
    captured: bool = False
    """As a graph of CUDA calls that is recorded once, which only one thread may run."""
    precision: str = ""
    """Which file is run: the model's own, or that of the same model in another precision beside it."""
    rounded: bool = False
    """Whether the model's own file is computed in fewer bits than it says."""
    automatic: bool = True
    """Whether it is taken without being asked for by name."""

    @property
    def coarseness(self) -> int:
        """0 where it computes as the model's own file says, 1 in fewer bits, 2 from a file of fewer bits."""
        return 2 if self.precision else int(self.rounded)


def _tensorrt_cache() -> str:
    """Where TensorRT keeps what it built, which takes it minutes."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return str(Path(home) / "quadfollow" / "tensorrt")


# Left to itself OpenVINO takes the fastest type that the processor has.
_FLOAT32 = {"INFERENCE_PRECISION_HINT": "f32"}
_BFLOAT16 = {"INFERENCE_PRECISION_HINT": "bf16"}
# Tensor cores would round what goes into a convolution to 10 bits; the answers are to be those of the CPU.
_CUDA = {"use_tf32": "0"}
_TENSORRT = {"trt_engine_cache_enable": "1", "trt_engine_cache_path": _tensorrt_cache()}

VARIANTS: Mapping[str, tuple[Variant, ...]] = {
    "cpu": (Variant("plain"),),
    # onnxruntime's own kernels for 8-bit integers are slower than those for floats on these networks.
    "openvino": (
        Variant("plain", _FLOAT32),
        Variant("bf16", _BFLOAT16, rounded=True),
        Variant("int8", _FLOAT32, precision="int8"),
        Variant("int8-fused", _FLOAT32, precision="int8-fused"),
    ),
    "cuda": (
        Variant("plain", _CUDA),
        Variant("bound", _CUDA, bound=True),
        Variant("graph", _CUDA | {"enable_cuda_graph": "1"}, bound=True, captured=True),
        Variant("graph-fp16", {"enable_cuda_graph": "1"}, bound=True, captured=True, precision="fp16"),
    ),
    "tensorrt": (
        Variant("plain", _TENSORRT),
        Variant("graph", _TENSORRT | {"trt_cuda_graph_enable": "1"}, bound=True, captured=True),
        Variant("fp16", _TENSORRT | {"trt_fp16_enable": "1"}, rounded=True, automatic=False),
    ),
}
NAMES = (AUTO, *dict.fromkeys(variant.name for variants in VARIANTS.values() for variant in variants))


Way = tuple[str, Variant]
"""A device, and a variant of it."""


def ways_of(devices: Sequence[str], asked: str = AUTO) -> list[Way]:
    """The ways to try on devices, the first device's plain one first; of variants only those asked for by name, if any.

    Raises:
        BadInput: none of the devices has such a variant.
    """
    there = [(device, variant) for device in devices for variant in VARIANTS[device]]
    found = [way for way in there if (way[1].automatic if asked == AUTO else way[1].name == asked)]
    if not found:
        names = ", ".join(dict.fromkeys(variant.name for _, variant in there))
        raise BadInput(f"device {' or '.join(devices)} has no variant {asked!r}: use {names}")
    return found
