"""A separable convolution over a concatenation needs no concatenation.

A depthwise convolution treats every channel by itself, and a 1x1 convolution sums over channels. So a depthwise and a
1x1 convolution over ``concat(a, b)`` are the sum of the same two over ``a`` and over ``b``: exact but for the order
of one addition. It saves the copy, and a skip whose channels do not fill onnxruntime's blocks (the 3 of the image) no
longer spoils the blocks of the others.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import helper

from quadfollow_export.graph import Graph, attribute


def split_separable_over_concat(graph: Graph) -> int:
    """Write Concat, depthwise and 1x1 convolution as a sum of depthwise and 1x1 convolutions."""
    changed = 0
    for concat in graph.of_type("Concat"):
        if attribute(concat, "axis") != 1:
            continue
        depthwise = graph.only_consumer(concat.output[0])
        pointwise = None if depthwise is None else graph.only_consumer(depthwise.output[0])
        sizes = graph.channels(concat.input)
        if sizes is None or not graph.is_depthwise(depthwise) or not graph.is_pointwise(pointwise):
            continue
        graph.replace([concat, depthwise, pointwise], _split(graph, concat, depthwise, pointwise, sizes))
        changed += 1
    return changed


def _split(graph: Graph, concat: Any, depthwise: Any, pointwise: Any, sizes: list[int]) -> list[Any]:
    edges = np.cumsum([0, *sizes])
    (own, own_bias), (mixed, bias) = graph.conv_weights(depthwise), graph.conv_weights(pointwise)
    nodes: list[Any] = []
    terms: list[str] = []
    for index, source in enumerate(concat.input):
        part = slice(edges[index], edges[index + 1])
        middle, term = (f"{node.output[0]}_{index}" for node in (depthwise, pointwise))
        nodes.append(_part(graph, depthwise, source, middle, own[part], own_bias[part]))
        nodes.append(_part(graph, pointwise, middle, term, mixed[:, part], bias if index == 0 else None))
        terms.append(term)
    # Add by Add, because onnxruntime fuses a sum of two into the convolution before it.
    for index in range(1, len(terms)):
        last = index == len(terms) - 1
        output = pointwise.output[0] if last else f"{pointwise.output[0]}_sum_{index}"
        nodes.append(helper.make_node("Add", [terms[0], terms[index]], [output]))
        terms[0] = output
    return nodes


def _part(graph: Graph, conv: Any, source: str, output: str, weights: NDArray[Any], bias: NDArray[Any] | None) -> Any:
    inputs = [source, graph.add_constant(np.ascontiguousarray(weights, dtype=np.float32), "weights")]
    if bias is not None and bias.any():
        inputs.append(graph.add_constant(np.ascontiguousarray(bias, dtype=np.float32), "bias"))
    group = 1 if attribute(conv, "group", 1) == 1 else len(weights)
    node = helper.make_node("Conv", inputs, [output], group=group)
    node.attribute.extend(item for item in conv.attribute if item.name != "group")
    return node
