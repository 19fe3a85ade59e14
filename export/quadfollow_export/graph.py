"""A small mutable view of an ONNX graph, so that a rewrite reads as what it does and not as protobuf handling."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper, shape_inference

from quadfollow_core.contract import Contract
from quadfollow_core.errors import BadModel, NotFound


def read_model(path: Path) -> tuple[bytes, Any, Contract]:
    """Read an exported model's file: its bytes, what ``onnx`` makes of them, and the contract inside.

    Raises:
        NotFound: there is no such file.
        BadModel: it is damaged, or carries no contract.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise NotFound(f"no model file at {path}: {error.strerror}") from error
    try:
        model = onnx.load_model_from_string(data)
        return data, model, Contract.from_onnx(model)
    except Exception as error:
        raise BadModel(f"{path} is not an ONNX model of ours: {error}") from error


class Graph:
    """Nodes in execution order, constants by name, and who makes and who reads a tensor."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.nodes: list[Any] = list(model.graph.node)
        self.constants: dict[str, NDArray[Any]] = {
            item.name: numpy_helper.to_array(item) for item in model.graph.initializer
        }
        self.outputs: list[Any] = list(model.graph.output)
        self._count = 0
        self._shapes = shapes(model)

    def to_model(self) -> Any:
        """Write the graph back as a checked model; what leads to no output is dropped."""
        self.prune()
        used = {name for node in self.nodes for name in node.input}
        graph = helper.make_graph(
            self.nodes,
            "quadfollow",
            list(self._model.graph.input),
            self.outputs,
            [numpy_helper.from_array(value, name) for name, value in self.constants.items() if name in used],
        )
        domains = {node.domain for node in self.nodes}
        opsets = [opset for opset in self._model.opset_import if opset.domain in domains]
        model = helper.make_model(graph, opset_imports=opsets, producer_name="quadfollow")
        model.ir_version = self._model.ir_version
        onnx.checker.check_model(model, full_check=True)
        return model

    def producer(self, tensor: str) -> Any | None:
        """The node that makes a tensor; None for inputs and constants."""
        return next((node for node in self.nodes if tensor in node.output), None)

    def only_consumer(self, tensor: str) -> Any | None:
        """The node that alone reads a tensor; None where there are several, or the tensor leaves the graph."""
        readers = [node for node in self.nodes if tensor in node.input]
        leaves = any(output.name == tensor for output in self.outputs)
        return readers[0] if len(readers) == 1 and not leaves else None

    def of_type(self, *kinds: str) -> Iterator[Any]:
        """Walk a snapshot of the nodes of these operators."""
        yield from [node for node in self.nodes if node.op_type in kinds]

    def is_plain_conv(self, node: Any) -> bool:
        """Whether a node is a convolution whose weights are constants."""
        return node.op_type == "Conv" and all(name in self.constants for name in node.input[1:])

    def is_depthwise(self, node: Any | None) -> bool:
        """Whether a node is a plain convolution that filters every channel by itself."""
        if node is None or not self.is_plain_conv(node):
            return False
        weights = self.constants[node.input[1]]
        return bool(weights.shape[1] == 1 and attribute(node, "group", 1) == len(weights) > 1)

    def is_pointwise(self, node: Any | None) -> bool:
        """Whether a node is a plain convolution that mixes the channels pixel by pixel."""
        if node is None or not self.is_plain_conv(node):
            return False
        unpadded = attribute(node, "group", 1) == 1 and not any(attribute(node, "pads", [0]))
        return unpadded and self.constants[node.input[1]].shape[2:] == (1, 1)

    def conv_weights(self, conv: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Weights and bias of a convolution, in double precision; zeros where it has no bias."""
        weights = self.constants[conv.input[1]].astype(np.float64)
        bias = self.constants[conv.input[2]].astype(np.float64) if len(conv.input) > 2 else np.zeros(len(weights))
        return weights, bias

    def channels(self, tensors: Iterable[str]) -> list[int] | None:
        """Sizes of axis 1 of tensors the model came with; None if any is not known."""
        sizes = [self._shapes.get(tensor, [None, None])[1] for tensor in tensors]
        return None if None in sizes else [size for size in sizes if size is not None]

    def add_constant(self, value: NDArray[Any], hint: str) -> str:
        """Store a constant and return its new name."""
        while (name := f"{hint}_{self._count}") in self.constants:
            self._count += 1
        self.constants[name] = value
        return name

    def replace(self, old: Sequence[Any], new: Sequence[Any]) -> None:
        """Put ``new`` where the last of ``old`` stood, and take all of ``old`` out."""
        gone = {id(node) for node in old}
        place = max(index for index, node in enumerate(self.nodes) if id(node) in gone)
        kept = [node for node in self.nodes[: place + 1] if id(node) not in gone]
        self.nodes = [*kept, *new, *self.nodes[place + 1 :]]

    def prune(self) -> None:
        """Take out every node that leads to no output."""
        needed = {output.name for output in self.outputs}
        kept = []
        for node in reversed(self.nodes):
            if needed.intersection(node.output):
                kept.append(node)
                needed.update(node.input)
        self.nodes = kept[::-1]


def shapes(model: Any) -> dict[str, list[int | None]]:
    """Infer the shape of every tensor; None where a side is open, such as the number of frames."""
    graph = shape_inference.infer_shapes(model, strict_mode=True).graph
    return {
        info.name: [side.dim_value or None for side in info.type.tensor_type.shape.dim]
        for info in (*graph.input, *graph.value_info, *graph.output)
    }


def attribute(node: Any, name: str, default: Any = None) -> Any:
    """Read one attribute of a node."""
    return next((helper.get_attribute_value(item) for item in node.attribute if item.name == name), default)
