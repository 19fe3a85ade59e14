"""The network's architecture as a picture, drawn from the model itself.

Every convolution, upsampling and concatenation is a box, with the normalisation and activation that follow written
into it. Boxes run from left to right as they are computed and sink with every halving, so encoders and decoders form
their U and the skips span it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
from matplotlib.figure import Figure

from quadfollow_training.describe import Description, Layer, describe
from quadfollow_training.fcn import Spec

_SHORT = {
    "InputLayer": "input",
    "Rescaling": "to -1..1",
    "SeparableConv2D": "separable conv",
    "Conv2D": "conv",
    "Conv2DTranspose": "transposed conv",
    "UpSampling2D": "bilinear x2",
    "Concatenate": "concatenate",
    "BatchNormalization": "batch norm",
    "ReLU": "ReLU",
}
_COLOURS = {"SeparableConv2D": "#cfe3f5", "Conv2D": "#f5d9c0", "Conv2DTranspose": "#d5efd0", "UpSampling2D": "#d5efd0"}
_FOLLOWERS = {"BatchNormalization", "ReLU"}


@dataclass(frozen=True, slots=True)
class Box:
    """A layer with the followers merged into it; ``parameters`` counts theirs too."""

    layer: Layer
    text: tuple[str, ...]
    parameters: int


def draw_network(network: keras.Model | Spec, path: Path) -> None:
    """Draw a network with shapes, parameters and MACs into a PNG."""
    description = describe(network)
    boxes, home = merge(description)
    places = _places(boxes)
    depth = max(-y for _, y in places.values())
    figure = Figure(figsize=(1.25 * len(boxes) + 1, 1.6 * depth + 4.2), layout="constrained")
    axes = figure.subplots()
    for box in boxes:
        _draw_arrows(axes, box, home, places)
        _draw_box(axes, box, *places[box.layer.name])
    axes.set(xlim=(-0.8, len(boxes) - 0.2), ylim=(-depth - 0.8, 0.9))
    axes.set_title(f"{description.parameters:,} parameters, {description.macs / 1e9:.3f} GMAC per frame", fontsize=14)
    axes.axis("off")
    figure.savefig(path, dpi=80)


def merge(description: Description) -> tuple[list[Box], dict[str, str]]:
    """Merge normalisations and activations into the layer they follow.

    Returns the boxes, and for every layer's name the name of the box it ended up in.
    """
    boxes: dict[str, Box] = {}
    home: dict[str, str] = {}
    for layer in description.layers:
        word = _SHORT.get(layer.kind, layer.kind)
        if layer.kind in _FOLLOWERS and home[layer.inputs[0]] in boxes:
            home[layer.name] = home[layer.inputs[0]]
            box = boxes[home[layer.name]]
            boxes[home[layer.name]] = replace(box, text=(*box.text, word), parameters=box.parameters + layer.parameters)
        else:
            home[layer.name] = layer.name
            boxes[layer.name] = Box(layer, (word,), layer.parameters)
    return list(boxes.values()), home


def _places(boxes: list[Box]) -> dict[str, tuple[float, float]]:
    full = boxes[0].layer.shape[0]
    return {box.layer.name: (float(i), -math.log2(full / box.layer.shape[0])) for i, box in enumerate(boxes)}


def _draw_box(axes: Any, box: Box, x: float, y: float) -> None:
    height, width, channels = box.layer.shape
    lines = [box.layer.name, *box.text, f"{height}x{width}x{channels}"]
    if box.parameters:
        lines.append(f"{box.parameters:,} par")
    if box.layer.macs:
        lines.append(f"{box.layer.macs / 1e6:.2f} MMAC")
    style = {"boxstyle": "round,pad=0.4", "facecolor": _COLOURS.get(box.layer.kind, "#eeeeee"), "edgecolor": "#555555"}
    axes.text(x, y, "\n".join(lines), ha="center", va="center", fontsize=8, bbox=style, zorder=3)


def _draw_arrows(axes: Any, box: Box, home: dict[str, str], places: dict[str, tuple[float, float]]) -> None:
    end = places[box.layer.name]
    for number, name in enumerate(box.layer.inputs):
        style = {"arrowstyle": "->", "color": "#555555"}
        if number > 0:  # a skip, over the boxes in between
            style |= {"linestyle": "--", "color": "#b04040", "connectionstyle": "arc3,rad=-0.06"}
        axes.annotate("", end, places[home[name]], arrowprops=style | {"shrinkA": 30, "shrinkB": 36}, zorder=1)
