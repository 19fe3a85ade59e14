"""The exact rewrites every export goes through, in order, after tf2onnx's own optimiser."""

from __future__ import annotations

from collections.abc import Callable

from quadfollow_export.affine import (
    affine_to_depthwise_conv,
    batch_norm_to_affine,
    fold_affine_into_next_conv,
    fold_affine_into_previous_conv,
)
from quadfollow_export.concat import split_separable_over_concat
from quadfollow_export.graph import Graph

Pass = Callable[[Graph], int]
"""Rewrites the graph in place; returns how many places it changed."""

PASSES: tuple[Pass, ...] = (
    batch_norm_to_affine,
    fold_affine_into_previous_conv,
    fold_affine_into_next_conv,
    affine_to_depthwise_conv,
    split_separable_over_concat,
)


def apply(graph: Graph, passes: tuple[Pass, ...] = PASSES) -> dict[str, int]:
    """Run the passes in order; return how many places each changed."""
    return {rewrite.__name__: rewrite(graph) for rewrite in passes}
