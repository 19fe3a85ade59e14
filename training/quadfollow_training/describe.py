"""What a network is made of: every layer's shape, parameters and multiply-accumulates, counted from the model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from typing import Any

import keras

from quadfollow_core.errors import BadInput
from quadfollow_training.fcn import Spec, build


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer: ``shape`` is its output's ``(H, W, C)``; ``inputs`` names the layers it reads."""

    name: str
    kind: str
    shape: tuple[int, int, int]
    parameters: int
    macs: int
    inputs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Description:
    """The layers in order, and their totals."""

    layers: tuple[Layer, ...]

    @property
    def parameters(self) -> int:
        """All parameters, moving averages included."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one frame; those of convolutions, which are all but a trifle."""
        return sum(layer.macs for layer in self.layers)


def describe(network: keras.Model | Spec) -> Description:
    """Describe a network, or the one a specification builds.

    Raises:
        BadInput: the network takes pictures of any size, so its work has no number.
    """
    model = build(network) if isinstance(network, Spec) else network
    if None in model.input_shape[1:]:
        raise BadInput("this network takes pictures of any size: describe one built for a fixed size")
    names = {id(tensor): layer.name for layer in model.layers for tensor in _tensors(layer.output)}
    return Description(tuple(_describe(layer, names) for layer in model.layers))


def _describe(layer: Any, names: dict[int, str]) -> Layer:
    is_input = isinstance(layer, keras.layers.InputLayer)
    inputs = () if is_input else tuple(names[id(tensor)] for tensor in _tensors(layer.input))
    height, width, channels = layer.output.shape[1:]
    return Layer(
        layer.name, type(layer).__name__, (height, width, channels), layer.count_params(), count_macs(layer), inputs
    )


def count_macs(layer: Any) -> int:
    """Count the multiply-accumulates of one layer for one frame; 0 for what is not a convolution."""
    places = prod(layer.output.shape[1:3])
    match type(layer).__name__:
        case "Conv2D":
            return int(places * prod(layer.kernel.shape))
        case "SeparableConv2D":
            return int(places * (prod(layer.depthwise_kernel.shape) + prod(layer.pointwise_kernel.shape)))
        case "Conv2DTranspose":
            return int(prod(layer.input.shape[1:3]) * prod(layer.kernel.shape))
        case _:
            return 0


def _tensors(value: Any) -> Iterable[Any]:
    return value if isinstance(value, (list, tuple)) else [value]
