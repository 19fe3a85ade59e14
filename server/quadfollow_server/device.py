"""Which execution provider a session runs on: the one asked for, or a reason why not.

onnxruntime falls back to the CPU with a line on stderr when an accelerator's libraries are missing, and goes on to
report the accelerator as available. So each thing an accelerator needs is checked here by itself, and the fall-back
is switched off.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state

from quadfollow_core.errors import Unavailable
from quadfollow_server import accelerator, openvino
from quadfollow_server.accelerator import Finding
from quadfollow_server.cores import inference_threads
from quadfollow_server.variants import VARIANTS, Variant

PROVIDERS = {
    "cpu": ("CPUExecutionProvider",),
    "openvino": (openvino.PROVIDER,),
    "cuda": ("CUDAExecutionProvider",),
    # TensorRT leaves what it cannot run to CUDA, never to the CPU.
    "tensorrt": ("TensorrtExecutionProvider", "CUDAExecutionProvider"),
}

ON_PROCESSOR = ("cpu", "openvino")

BATCH = "N"
"""Name that the export gives the number of frames."""

RUNTIME_ERRORS: tuple[type[Exception], ...] = (
    RuntimeError,
    ValueError,
    *(
        kind
        for kind in vars(onnxruntime_pybind11_state).values()
        if isinstance(kind, type) and issubclass(kind, Exception)
    ),
)
"""All that onnxruntime raises: its exceptions share no base."""


def open_session(
    model: bytes, device: str, threads: int = 0, variant: Variant | None = None, at_once: int = 1
) -> onnxruntime.InferenceSession:
    """Open a model with onnxruntime on exactly the device named, as a variant of that device; the plain one if None.

    On a processor, calls that come ``at_once`` share its threads: each brings its own, the others are the session's.

    Raises:
        Unavailable: the device cannot be used here; the message says what is missing and what to do.
    """
    variant = variant or VARIANTS[device][0]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = max(1, inference_threads(threads) - at_once + 1)
    if variant.bound:
        options.add_free_dimension_override_by_name(BATCH, 1)
    if device == "cpu":
        return onnxruntime.InferenceSession(model, options, providers=PROVIDERS["cpu"])
    require_accelerator(device)
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    try:
        return onnxruntime.InferenceSession(model, options, providers=_with_options(device, variant), enable_fallback=0)
    except RUNTIME_ERRORS as error:
        raise Unavailable(f"device {device}: onnxruntime refuses the model there: {first_line(error)}") from error


def _with_options(device: str, variant: Variant) -> list[tuple[str, dict[str, str]]]:
    first, *others = PROVIDERS[device]
    if folder := variant.options.get("trt_engine_cache_path"):
        Path(folder).mkdir(parents=True, exist_ok=True)
    return [(first, dict(variant.options)), *((other, {}) for other in others)]


def look(device: str) -> Iterator[Finding]:
    """Look at all that a device needs of this machine, in the order in which it has to be mended."""
    if device == "openvino":
        yield from openvino.look()
    elif device != "cpu":
        yield from accelerator.look(device)


def require_accelerator(device: str) -> None:
    """Check all that a device needs of this machine.

    Raises:
        Unavailable: something is missing; the message says what is, and what to do first.
    """
    missing = [finding for finding in look(device) if not finding.well]
    if missing:
        others = f" (then {', '.join(finding.name for finding in missing[1:])})" if missing[1:] else ""
        raise Unavailable(f"device {device}: {missing[0].found}; {missing[0].remedy}{others}")


def require_in_use(session: onnxruntime.InferenceSession, device: str) -> str:
    """Return the provider that a session which has run once is really using.

    Raises:
        Unavailable: it is not the one asked for.
    """
    used = str(session.get_providers()[0])
    if used != PROVIDERS[device][0]:
        raise Unavailable(f"device {device}: onnxruntime runs the model on {used} instead")
    return used


def first_line(error: Exception) -> str:
    """Return the first line of a message that may be long."""
    return (str(error).strip() or repr(error)).splitlines()[0][:500]


def usable_devices() -> dict[str, str]:
    """Say of each device ``usable``, or why not; libraries are looked at, no model is run."""
    return {device: _usable(device) for device in PROVIDERS}


def _usable(device: str) -> str:
    try:
        require_accelerator(device)
    except Unavailable as error:
        return str(error)
    return "usable"
