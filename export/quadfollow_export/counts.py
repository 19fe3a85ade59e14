"""How much a network computes."""

from __future__ import annotations

from math import prod
from typing import Any

from quadfollow_export.graph import shapes


def count_macs(model: Any) -> int:
    """Count the multiply-accumulates of every convolution of an ONNX model, per frame."""
    known = shapes(model)
    weights = {item.name: tuple(item.dims) for item in model.graph.initializer}
    total = 0
    for node in model.graph.node:
        if node.op_type not in ("Conv", "ConvTranspose"):
            continue
        # A convolution reads its whole kernel per output pixel, a transposed one writes it per input pixel.
        pixels = known[node.output[0] if node.op_type == "Conv" else node.input[0]][2:]
        total += prod(weights[node.input[1]]) * prod(side or 0 for side in pixels)
    return total
