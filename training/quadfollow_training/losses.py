"""The training loss: cross-entropy per pixel, weighted by class if asked, and optionally soft dice."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

_TINY = 1e-7
_SMOOTHING = 4.0
"""Pixels: the fewest that count as a target."""


@keras.saving.register_keras_serializable(package="quadfollow")
class SegmentationLoss(keras.losses.Loss):  # type: ignore[misc]
    """Weighted categorical cross-entropy plus soft dice on every class but background.

    Truth is class ids ``[N, H, W]``, prediction probabilities ``[N, H, W, C]``. Dice is taken picture by picture, as
    the official score's IoU is: a target of ten pixels counts as much as one of a thousand, and where there is none,
    the first few false pixels cost most.
    """

    def __init__(self, class_weights: tuple[float, ...] = (1.0, 1.0, 1.0), dice: float = 0.0, **rest: Any) -> None:
        super().__init__(**rest)
        self.class_weights = tuple(float(weight) for weight in class_weights)
        self.dice = float(dice)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Loss of one batch, a scalar."""
        truth = ops.one_hot(ops.cast(y_true, "int32"), len(self.class_weights), dtype=y_pred.dtype)
        loss = _cross_entropy(truth, y_pred, self.class_weights)
        return loss + self.dice * _soft_dice(truth, y_pred) if self.dice else loss

    def get_config(self) -> dict[str, Any]:
        """What rebuilds this loss when a model is loaded."""
        base: dict[str, Any] = super().get_config()
        return base | {"class_weights": self.class_weights, "dice": self.dice}


def _cross_entropy(truth: Any, probability: Any, weights: tuple[float, ...]) -> Any:
    weighted = truth * ops.convert_to_tensor(weights, dtype=probability.dtype)
    return -ops.sum(weighted * ops.log(probability + _TINY)) / ops.sum(weighted)


def _soft_dice(truth: Any, probability: Any) -> Any:
    """Mean over pictures, people and target of ``1 - 2 |T ∩ P| / (|T| + |P|)``, smoothed by a few pixels."""
    overlap = ops.sum(truth * probability, axis=(1, 2))[:, 1:]
    total = ops.sum(truth + probability, axis=(1, 2))[:, 1:]
    return ops.mean(1 - (2 * overlap + _SMOOTHING) / (total + _SMOOTHING))
