"""Linear steps that follow each other, multiplied out into one: for 8-bit integers, where arithmetic is cheap.

A separable convolution saves multiplications and pays with passes over the picture. In 8-bit integers a processor with
instructions for them multiplies faster than it fetches, so where there are few filters the passes are what takes time;
and each pass less is a rounding to 256 steps less. In 32-bit floats it is the other way round: no model is exported so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import helper

from quadfollow_export.graph import Graph, attribute

MOST_FILTERS = 48
"""Steps that end in more filters stay as they are: fusing those saves no time, and takes nine times the room."""

_EVEN = np.array([[3, 1, 0], [1, 3, 0], [0, 3, 1]]) / 4
_ODD = np.array([[1, 3, 0], [0, 3, 1], [0, 1, 3]]) / 4
"""Enlarged by 2: what lies before, at and after ``2i``, or ``2i + 1``, of the pixels ``i - 1`` to ``i + 1``."""


def fuse(model: Any, most_filters: int = MOST_FILTERS) -> Any:
    """The same network with fewer steps; its answers differ by rounding, and a little along the picture's edge."""
    graph = Graph(model)
    _enlarge_in_one(graph, most_filters)
    _filter_in_one(graph, most_filters)
    return graph.to_model()


def _enlarge_in_one(graph: Graph, most_filters: int) -> None:
    """Write enlargement by 2, depthwise and 1x1 convolution as one transposed convolution of stride 2.

    Two pixels along the picture's edge differ: an enlargement repeats the last pixel, and a convolution takes what is
    outside for zero.
    """
    for resize in graph.of_type("Resize"):
        pair = _separable(graph, graph.only_consumer(resize.output[0]), most_filters)
        if pair is None or not pair.keeps_size or not _doubles_bilinearly(graph, resize):
            continue
        kernel = np.zeros((pair.own.shape[0], len(pair.bias), 6, 6))
        for v, rows in enumerate((_EVEN, _ODD)):
            for u, columns in enumerate((_EVEN, _ODD)):
                weights = np.einsum("ti,ctu,uj->cij", rows, pair.own, columns)
                # Laid around each pixel, so that what the pixel before it gives comes last.
                kernel[:, :, v::2, u::2] = weights[:, None, ::-1, ::-1] * pair.mixed.T[:, :, None, None]
        whole = {"kernel_shape": [6, 6], "strides": [2, 2], "pads": [2, 2, 2, 2]}
        one = helper.make_node(
            "ConvTranspose", [resize.input[0], *_constants(graph, kernel, pair.bias)], [pair.output], **whole
        )
        graph.replace([resize, *pair.nodes], [one])


def _filter_in_one(graph: Graph, most_filters: int) -> None:
    """Write depthwise and 1x1 convolution as one regular convolution."""
    for depthwise in graph.of_type("Conv"):
        pair = _separable(graph, depthwise, most_filters)
        if pair is None:
            continue
        kernel = pair.mixed[:, :, None, None] * pair.own
        one = helper.make_node("Conv", [depthwise.input[0], *_constants(graph, kernel, pair.bias)], [pair.output])
        one.attribute.extend(item for item in depthwise.attribute if item.name != "group")
        graph.replace(pair.nodes, [one])


@dataclass(frozen=True, slots=True)
class _Separable:
    """A depthwise convolution of weights ``own`` ``[C, 3, 3]``, the 1x1 one behind it of ``mixed`` ``[M, C]``."""

    nodes: tuple[Any, Any]
    own: NDArray[np.float64]
    mixed: NDArray[np.float64]
    bias: NDArray[np.float64]
    """What both add, ``[M]``."""

    @property
    def output(self) -> str:
        return str(self.nodes[1].output[0])

    @property
    def keeps_size(self) -> bool:
        """Whether the picture stays as large as it is, with a pixel of zeros around it."""
        depthwise, _ = self.nodes
        return bool(attribute(depthwise, "pads") == [1] * 4 and attribute(depthwise, "strides", [1, 1]) == [1, 1])


def _separable(graph: Graph, depthwise: Any | None, most_filters: int) -> _Separable | None:
    """The separable convolution that a node begins; None where it begins none, or one of more filters."""
    if depthwise is None or not graph.is_depthwise(depthwise):
        return None
    pointwise = graph.only_consumer(depthwise.output[0])
    if pointwise is None or not graph.is_pointwise(pointwise):
        return None
    (own, own_bias), (mixed, bias) = graph.conv_weights(depthwise), graph.conv_weights(pointwise)
    if len(mixed) > most_filters or own.shape[2:] != (3, 3):
        return None
    mixed = mixed[:, :, 0, 0]
    return _Separable((depthwise, pointwise), own[:, 0], mixed, mixed @ own_bias + bias)


def _doubles_bilinearly(graph: Graph, resize: Any) -> bool:
    is_bilinear = attribute(resize, "mode") == b"linear"
    is_centred = attribute(resize, "coordinate_transformation_mode", b"half_pixel") == b"half_pixel"
    scales = graph.constants.get(resize.input[2]) if len(resize.input) == 3 else None
    return bool(is_bilinear and is_centred and scales is not None and scales.tolist() == [1, 1, 2, 2])


def _constants(graph: Graph, kernel: NDArray[np.float64], bias: NDArray[np.float64]) -> list[str]:
    return [graph.add_constant(value.astype(np.float32), "fused") for value in (kernel, bias)]
