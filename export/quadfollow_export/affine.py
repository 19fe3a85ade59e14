"""Rewrites of what scales and shifts channels: batch normalisation and what is left of it. All of them are exact.

With Keras' order convolution, ReLU, *then* batch normalisation, a Mul and an Add per channel are left between ReLU and
the next convolution. They throw onnxruntime out of its blocked NCHWc layout. Folding them into the next convolution
is exact only where that does not pad: padding puts zeros *behind* the normalisation. Elsewhere they become one
depthwise 1x1 convolution, which the blocked layout keeps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import helper

from quadfollow_export.graph import Graph, attribute

Floats = NDArray[np.float32]


def batch_norm_to_affine(graph: Graph) -> int:
    """Write BatchNormalization as the Mul and Add that it is at inference."""
    changed = 0
    for node in graph.of_type("BatchNormalization"):
        gamma, beta, mean, variance = (graph.constants[name].astype(np.float64) for name in node.input[1:5])
        scale = gamma / np.sqrt(variance + attribute(node, "epsilon", 1e-5))
        scaled = f"{node.output[0]}_scaled"
        factor = graph.add_constant(_per_channel(scale), "scale")
        shift = graph.add_constant(_per_channel(beta - mean * scale), "shift")
        multiply = helper.make_node("Mul", [node.input[0], factor], [scaled])
        graph.replace([node], [multiply, helper.make_node("Add", [scaled, shift], [node.output[0]])])
        changed += 1
    return changed


def fold_affine_into_previous_conv(graph: Graph) -> int:
    """Fold what scales and shifts a convolution's channels into its weights; exact whatever the padding."""
    changed = 0
    while (found := next(_affines_after_conv(graph), None)) is not None:
        conv, affine = found
        weights, bias = graph.conv_weights(conv)
        scale = affine.scale.astype(np.float64)
        folded = _conv_like(
            graph, conv, weights * scale[:, None, None, None], bias * scale + affine.shift, output=affine.output
        )
        graph.replace([conv, *affine.nodes], [folded])
        changed += 1
    return changed


def fold_affine_into_next_conv(graph: Graph) -> int:
    """Fold what scales and shifts the channels of a convolution's input into it; only where it does not pad."""
    changed = 0
    for affine in _affines(graph):
        conv = graph.only_consumer(affine.output)
        if conv is None or not graph.is_plain_conv(conv) or any(attribute(conv, "pads", [0])):
            continue
        weights, bias = graph.conv_weights(conv)
        groups = attribute(conv, "group", 1)
        scale, shift = (
            value.astype(np.float64).reshape(groups, -1).repeat(len(weights) // groups, axis=0)[:, :, None, None]
            for value in (affine.scale, affine.shift)
        )
        folded_bias = bias + (weights * shift).sum(axis=(1, 2, 3))
        folded = _conv_like(graph, conv, weights * scale, folded_bias, source=affine.source)
        graph.replace([*affine.nodes, conv], [folded])
        changed += 1
    return changed


def affine_to_depthwise_conv(graph: Graph) -> int:
    """Write what scales and shifts channels as one depthwise 1x1 convolution, which keeps the blocked layout."""
    changed = 0
    for affine in _affines(graph):
        channels = len(affine.scale)
        weights = graph.add_constant(affine.scale.reshape(channels, 1, 1, 1), "depthwise_scale")
        bias = graph.add_constant(affine.shift, "depthwise_shift")
        conv = helper.make_node(
            "Conv", [affine.source, weights, bias], [affine.output], group=channels, kernel_shape=[1, 1]
        )
        graph.replace(affine.nodes, [conv])
        changed += 1
    return changed


@dataclass(frozen=True, slots=True)
class _Affine:
    """``output = source * scale + shift`` per channel, by a Mul, an Add, or a Mul that only an Add reads."""

    nodes: list[Any]
    source: str
    output: str
    scale: Floats
    shift: Floats


def _affines(graph: Graph) -> list[_Affine]:
    """Find every affine per channel; a Mul and the Add behind it are one."""
    found: list[_Affine] = []
    taken: set[int] = set()
    for node in graph.of_type("Mul", "Add"):
        if id(node) in taken or (read := _constant_operand(graph, node)) is None:
            continue
        source, value = read
        follower = graph.only_consumer(node.output[0])
        if node.op_type == "Add":
            found.append(_Affine([node], source, node.output[0], np.ones_like(value), value))
        elif (shift := _added(graph, follower, len(value))) is not None and follower is not None:
            taken.add(id(follower))
            found.append(_Affine([node, follower], source, follower.output[0], value, shift))
        else:
            found.append(_Affine([node], source, node.output[0], value, np.zeros_like(value)))
    return found


def _affines_after_conv(graph: Graph) -> Iterator[tuple[Any, _Affine]]:
    for affine in _affines(graph):
        conv = graph.producer(affine.source)
        if conv is not None and graph.is_plain_conv(conv) and graph.only_consumer(affine.source) is affine.nodes[0]:
            yield conv, affine


def _added(graph: Graph, node: Any | None, channels: int) -> Floats | None:
    """The constant per channel that an Add adds, if ``node`` is such an Add."""
    if node is None or node.op_type != "Add" or (read := _constant_operand(graph, node)) is None:
        return None
    return read[1] if len(read[1]) == channels else None


def _constant_operand(graph: Graph, node: Any) -> tuple[str, Floats] | None:
    """Split a Mul or Add into its tensor and its constant per channel of ``[N, C, H, W]``; None if it has none."""
    for source, constant in (node.input, list(node.input)[::-1]):
        value = graph.constants.get(constant)
        if value is None or source in graph.constants:
            continue
        if value.ndim in (3, 4) and value.shape[-2:] == (1, 1) and value.size == value.shape[-3]:
            return source, value.ravel()
    return None


def _conv_like(
    graph: Graph,
    conv: Any,
    weights: NDArray[Any],
    bias: NDArray[Any],
    *,
    source: str | None = None,
    output: str | None = None,
) -> Any:
    """A convolution with another one's attributes, other weights, and perhaps other ends."""
    names = [
        graph.add_constant(value.astype(np.float32), hint) for value, hint in ((weights, "weights"), (bias, "bias"))
    ]
    node = helper.make_node("Conv", [source or conv.input[0], *names], [output or conv.output[0]])
    node.attribute.extend(conv.attribute)
    return node


def _per_channel(values: NDArray[Any]) -> Floats:
    return values.astype(np.float32).reshape(-1, 1, 1)
