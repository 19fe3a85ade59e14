"""The network the fully convolutional one is held against: the same encoders, ending in dense layers.

It says whether the target is in the frame, which is all a classifier can; to let it say where, it is also given two
numbers to regress, the middle of the target.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

from quadfollow_core.resize import TARGET, fit_frame
from quadfollow_training.batches import Batches
from quadfollow_training.compiling import make_optimizer
from quadfollow_training.fcn import Spec, build
from quadfollow_training.frames import Frames
from quadfollow_training.recipes import Recipe
from quadfollow_training.study.locations import Place, place_of

UNITS = 64
_TINY = 1e-7


class LabelledBatches(Batches):
    """Batches whose masks are replaced by ``[N, 3]``: target in the picture (0 or 1), and its middle u, v."""

    def __getitem__(self, index: int) -> tuple[NDArray[np.uint8], NDArray[Any]]:
        images, masks = super().__getitem__(index)
        return images, np.stack([label(mask) for mask in masks])


def label(mask: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What the classifier is to say of a ``(H, W)`` class mask."""
    place = place_of(mask == TARGET)
    return np.array([0.0, 0.5, 0.5] if place is None else [1.0, *place], dtype=np.float32)


class PresenceAndPlace(keras.losses.Loss):  # type: ignore[misc]
    """Cross-entropy of the presence, plus the distance in u and v where a target is present."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Loss of one batch, a scalar."""
        present, said = y_true[:, 0], ops.clip(y_pred[:, 0], _TINY, 1 - _TINY)
        entropy = -(present * ops.log(said) + (1 - present) * ops.log(1 - said))
        away = ops.sum(ops.abs(y_true[:, 1:] - y_pred[:, 1:]), axis=1)
        return ops.mean(entropy) + ops.sum(present * away) / (ops.sum(present) + 1)


def build_classifier(spec: Spec) -> keras.Model:
    """Build the specification's encoders with a dense head: uint8 ``[N, H, W, 3]`` in, float32 ``[N, 3]`` out."""
    network = build(spec)
    last = [layer for layer in network.layers if layer.name.startswith("bottleneck")][-1]
    tensor = layers.Flatten(name="flatten")(last.output)
    tensor = layers.Dense(UNITS, activation="relu", name="dense")(tensor)
    outputs = layers.Dense(3, activation="sigmoid", name="presence_and_place")(tensor)
    return keras.Model(network.input, outputs, name="classifier")


def compile_classifier(recipe: Recipe) -> keras.Model:
    """Build the recipe's classifier with its loss and optimiser."""
    network = build_classifier(recipe.spec)
    network.compile(optimizer=make_optimizer(recipe), loss=PresenceAndPlace(), jit_compile=False)
    return network


def ask(network: keras.Model, frames: Frames, size: tuple[int, int], batch: int = 16) -> tuple[list[bool], list[Place]]:
    """Ask the classifier about every frame: is the target there, and where (said whether or not it is)."""
    answers: list[NDArray[np.float32]] = []
    for start in range(0, len(frames), batch):
        images = [fit_frame(frames.read(index)[0], size)[0] for index in range(start, min(start + batch, len(frames)))]
        answers.extend(np.asarray(network.predict_on_batch(np.stack(images))))
    return [bool(answer[0] >= 0.5) for answer in answers], [(float(answer[1]), float(answer[2])) for answer in answers]
