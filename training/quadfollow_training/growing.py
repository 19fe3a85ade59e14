"""Give a wider network the weights of a narrower one, so that it begins by computing exactly what that computed.

The narrow network's channels become the first ones of each wide layer. What the new channels compute is random, and
nothing that was there before listens to them: those weights are zero, and the first steps of training open them. The
idea is that of Net2Net (Chen, Goodfellow and Shlens, 2016), with zeros instead of copies.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from quadfollow_core.errors import BadModel

Places = NDArray[np.intp]
"""At which channels of the wide layer those of the narrow one lie."""


def grow(narrow: keras.Model, wide: keras.Model) -> None:
    """Set ``wide``'s weights from ``narrow``'s, keeping its function; the widths may be equal.

    Args:
        narrow: the trained network.
        wide: a new one with the same layers, each at least as wide.

    Raises:
        BadModel: the networks differ in more than their widths, or one of ``wide``'s layers is narrower.
    """
    names = [layer.name for layer in wide.layers]
    if [layer.name for layer in narrow.layers] != names:
        raise BadModel("only a network of the same layers can be grown: these differ in depth, skips or kind")
    places: dict[str, Places] = {}
    for old, new in zip(narrow.layers, wide.layers, strict=True):
        places[new.name] = _grow_layer(old, new, _arriving(new, wide, places))


def _arriving(layer: Any, wide: keras.Model, places: dict[str, Places]) -> Places:
    """Where the narrow network's channels lie in what a layer of the wide one is given."""
    if isinstance(layer, layers.InputLayer):
        return np.arange(wide.input_shape[-1])
    tensors = layer.input if isinstance(layer.input, list) else [layer.input]
    found, start = [], 0
    for tensor in tensors:
        found.append(places[tensor._keras_history.operation.name] + start)
        start += tensor.shape[-1]
    return np.concatenate(found)


def _grow_layer(old: Any, new: Any, arriving: Places) -> Places:
    """Set one layer's weights; return where the narrow layer's output channels lie in the wide one's."""
    kept, weights = _as_kind_of(new, old), new.get_weights()
    kept, grown = (_outputs_last(new, each) for each in (kept, weights))
    if not kept:
        return arriving
    leaving = np.arange(kept[-1].shape[-1])
    if len(kept) != len(grown) or len(leaving) > grown[-1].shape[-1] or arriving.size > _inputs(new):
        raise BadModel(f"layer {new.name} cannot be grown from {_shapes(kept)} to {_shapes(grown)}")
    for before, after in zip(kept, grown, strict=True):
        if before.ndim == 1:
            after[leaving] = before
        elif before.shape[-1] == 1 and isinstance(new, layers.SeparableConv2D) and before is kept[0]:
            after[:, :, arriving] = before
        else:
            after[..., leaving] = 0
            after[np.ix_(*map(np.arange, before.shape[:2]), arriving, leaving)] = before
    new.set_weights(weights)
    return leaving


def _as_kind_of(new: Any, old: Any) -> list[NDArray[np.float32]]:
    """A layer's weights; those of a separable convolution multiplied out where ``new`` is a regular one."""
    kept: list[NDArray[np.float32]] = old.get_weights()
    if isinstance(old, layers.SeparableConv2D) and isinstance(new, layers.Conv2D):
        depthwise, pointwise, *bias = kept
        return [depthwise * pointwise, *bias]
    return kept


def _outputs_last(layer: Any, weights: list[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    """View weights with a kernel's outputs last, as every layer has them but a transposed convolution."""
    if not isinstance(layer, layers.Conv2DTranspose):
        return weights
    return [weight.swapaxes(2, 3) if weight.ndim == 4 else weight for weight in weights]


def _inputs(layer: Any) -> int:
    return int(layer.input.shape[-1])


def _shapes(weights: list[NDArray[np.float32]]) -> str:
    return ", ".join(str(weight.shape) for weight in weights)
