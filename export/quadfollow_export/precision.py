"""Variants of an exported model in lower precision: derived from the model itself and proven against it.

A variant lies beside its model (``follow-256.fp16.onnx``) and its contract says of which version of the model it was
made, so that a server never takes one for another model's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from quadfollow_core.contract import METADATA_KEY, Contract
from quadfollow_core.errors import BadInput, BadModel, ExportRefused, NotFound
from quadfollow_core.files import write_whole
from quadfollow_core.shipped import lower_precision
from quadfollow_export.frames import Samples
from quadfollow_export.graph import Graph
from quadfollow_export.session import Frames, Predictor, in_batches, open_session

Lower = Callable[[Any, Frames], Any]
"""Makes a model of lower precision; the frames are there to calibrate it."""


@dataclass(frozen=True, slots=True)
class Loss:
    """How far a variant's answers are from those of its model, on the same frames."""

    frames: str
    """Where the frames come from."""
    class_share: float
    """Share of pixels given another class."""
    target_share: float
    """Pixels that are target in one answer alone, as a share of those that are in either."""
    levels: int
    """Largest difference of ``target_probability``, of 255."""
    levels_p999: float
    """The 99.9th percentile of that difference."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """Most that a variant may lose."""

    class_share: float = 2e-3
    target_share: float = 0.05
    score: float = 0.005


@dataclass(frozen=True, slots=True)
class Made:
    """A variant that was written, and what it lost."""

    path: Path
    precision: str
    loss: Loss

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {"path": str(self.path), "precision": self.precision, "loss": asdict(self.loss)}


def make_variant(path: Path, precision: str, samples: Samples, allowed: Allowed | None = None) -> Made:
    """Derive a variant of an exported model, prove it on ``samples``, and write it beside the model.

    Raises:
        NotFound, BadModel: no model there, or none of ours.
        ExportRefused: its answers differ from the model's by more than is allowed.
    """
    if precision not in LOWER:
        raise BadInput(f"precision is one of {', '.join(LOWER)}, got {precision!r}")
    data = _read(path)
    model = onnx.load_model_from_string(data)
    contract = Contract.from_metadata({item.key: item.value for item in model.metadata_props})
    lower = LOWER[precision](model, samples.images)
    loss = compare(open_session(data), open_session(lower.SerializeToString()), samples)
    _require(precision, loss, allowed or Allowed())
    variant = {"precision": precision, "of": hashlib.sha256(data).hexdigest()[:12], "loss": asdict(loss)}
    named = replace(contract, checks=contract.checks | {"variant": variant})
    onnx.helper.set_model_props(lower, {METADATA_KEY: named.to_json()})
    out = lower_precision(path, precision)
    write_whole(out, lower.SerializeToString())
    return Made(out, precision, loss)


def compare(full: Predictor, lower: Predictor, samples: Samples) -> Loss:
    """Compare the answers (``classes``, ``target_probability``) of two models on the same frames."""
    classes, levels = in_batches(full, samples.images)
    others, other_levels = in_batches(lower, samples.images)
    off = np.abs(levels.astype(np.int16) - other_levels.astype(np.int16))
    return Loss(
        frames=samples.origin,
        class_share=float(np.mean(classes != others)),
        target_share=_apart(levels > THRESHOLD, other_levels > THRESHOLD),
        levels=int(off.max()),
        levels_p999=float(np.percentile(off, 99.9)),
    )


THRESHOLD = 127
"""The official decision: more than this of 255."""


def _apart(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    either = np.count_nonzero(first | second)
    return float(np.count_nonzero(first ^ second) / either) if either else 0.0


def _require(precision: str, loss: Loss, allowed: Allowed) -> None:
    faults = [
        f"{what} {found:.3g}, allowed {most:.3g}"
        for what, found, most in (
            ("share of pixels with another class", loss.class_share, allowed.class_share),
            ("share of the target's pixels that differ", loss.target_share, allowed.target_share),
        )
        if not found <= most
    ]
    if faults:
        raise ExportRefused(f"the {precision} variant answers otherwise than its model: {'; '.join(faults)}")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise NotFound(f"no model file at {path}: {error.strerror}") from error


def half(model: Any, _: Frames) -> Any:
    """Compute in 16-bit floats up to the last convolution; what is made of the logits stays in 32 bits."""
    graph = Graph(model)
    convolutions = [index for index, node in enumerate(graph.nodes) if node.op_type == "Conv"]
    if not convolutions:
        raise BadModel("the model has no convolution to compute in lower precision")
    body, tail = graph.nodes[: convolutions[-1] + 1], graph.nodes[convolutions[-1] + 1 :]
    for node in body:
        _make_half(graph, node)
    logits = body[-1].output[0]
    widened = helper.make_node("Cast", [logits], [f"{logits}_32"], to=TensorProto.FLOAT)
    for node in tail:
        node.input[:] = [widened.output[0] if name == logits else name for name in node.input]
    graph.nodes = [*body, widened, *tail]
    return graph.to_model()


def _make_half(graph: Graph, node: Any) -> None:
    """Turn a node's 32-bit constants to 16 bits, and a conversion to 32 bits into one to 16."""
    for place, name in enumerate(node.input):
        value = graph.constants.get(name)
        # What a Resize is told besides its picture are positions, which it takes in 32 bits alone.
        if value is not None and value.dtype == np.float32 and not (node.op_type == "Resize" and place):
            graph.constants[f"{name}_16"] = value.astype(np.float16)
            node.input[place] = f"{name}_16"
    for item in node.attribute:
        if node.op_type == "Cast" and item.name == "to" and item.i == TensorProto.FLOAT:
            item.i = TensorProto.FLOAT16


LOWER: Mapping[str, Lower] = {"fp16": half}
