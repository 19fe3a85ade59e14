"""From an exported model to one that computes in 16-bit floats or in 8-bit integers; its inputs and answers stay."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from quadfollow_core.contract import INPUT
from quadfollow_core.errors import BadModel
from quadfollow_export.fuse import fuse
from quadfollow_export.graph import Graph
from quadfollow_export.session import Frames

Lower = Callable[[Any, Frames], Any]
"""Makes a model of lower precision; the frames are there to calibrate it."""


def half(model: Any, _: Frames) -> Any:
    """Compute in 16-bit floats up to the last convolution; what is made of the logits stays in 32 bits."""
    own = onnx.ModelProto()
    own.CopyFrom(model)
    graph = Graph(own)
    last = _body(graph.nodes)[1]
    body, tail = graph.nodes[: last + 1], graph.nodes[last + 1 :]
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


def fused_integers(model: Any, frames: Frames) -> Any:
    """Fuse steps, see :mod:`quadfollow_export.fuse`, and compute in 8-bit integers."""
    return integers(fuse(model), frames)


def integers(model: Any, frames: Frames) -> Any:
    """Compute in 8-bit integers (QDQ) from the first convolution to the last; weights have a scale per channel.

    The range of every tensor is the one that it takes on ``frames``; the logits are not rounded.
    """
    named = onnx.ModelProto()
    named.CopyFrom(model)
    for index, node in enumerate(named.graph.node):
        node.name = f"{node.op_type}_{index}"  # by which they are told apart
    first, last = _body(named.graph.node)
    outside = [node.name for node in (*named.graph.node[:first], *named.graph.node[last + 1 :])]
    with tempfile.TemporaryDirectory() as folder:
        before, after = (str(Path(folder) / name) for name in ("before.onnx", "after.onnx"))
        onnx.save(named, before)
        quantize_static(
            before,
            after,
            _Calibration(frames),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=outside,
        )
        graph = Graph(onnx.load(after))
    for node in graph.of_type("Resize"):
        _resize_integers(graph, node)
    _keep_logits(graph)
    return graph.to_model()


def _resize_integers(graph: Graph, resize: Any) -> None:
    """Enlarge the integers themselves: a mean of numbers of one scale has that scale, so none is made a float."""
    before, after = graph.producer(resize.input[0]), graph.only_consumer(resize.output[0])
    if before is not None and after is not None and before.input[1:] == after.input[1:]:
        resize.input[0], resize.output[0] = before.input[0], after.output[0]
        graph.replace([after], [])


def _keep_logits(graph: Graph) -> None:
    """Take the rounding off what the last convolution computes."""
    conv = list(graph.of_type("Conv"))[-1]
    rounded = graph.only_consumer(conv.output[0])
    if rounded is not None and (read := graph.only_consumer(rounded.output[0])) is not None:
        conv.output[0] = read.output[0]
        graph.replace([rounded, read], [])


class _Calibration(CalibrationDataReader):  # type: ignore[misc]
    """Frames, one at a time."""

    def __init__(self, frames: Frames) -> None:
        self._frames: Iterator[Any] = iter(frames)

    def get_next(self) -> dict[str, Any] | None:
        """The model's next input; None at the end."""
        frame = next(self._frames, None)
        return None if frame is None else {INPUT: frame[None]}


def _body(nodes: Any) -> tuple[int, int]:
    """Places of the first and the last convolution."""
    places = [index for index, node in enumerate(nodes) if node.op_type == "Conv"]
    if not places:
        raise BadModel("the model has no convolution to compute in lower precision")
    return places[0], places[-1]


LOWER: Mapping[str, Lower] = {"fp16": half, "int8": integers, "int8-fused": fused_integers}
CALIBRATED = ("int8", "int8-fused")
"""Those that take their numbers' ranges from the frames."""
