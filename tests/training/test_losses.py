"""The training loss."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from quadfollow_training.losses import SegmentationLoss

TRUTH = np.array([[[0, 1], [2, 0]]], dtype=np.uint8)


def _loss(loss: SegmentationLoss, probabilities: np.ndarray) -> float:
    return float(keras.ops.convert_to_numpy(loss(TRUTH, probabilities.astype(np.float32))))


def _soft(confidence: float) -> np.ndarray:
    sure = np.eye(3)[TRUTH]
    return sure * confidence + (1 - sure) * (1 - confidence) / 2


def test_unweighted_it_is_categorical_cross_entropy():
    """With equal weights and no dice the loss is Keras' own cross-entropy."""
    rng = np.random.default_rng(0)
    guess = rng.dirichlet(np.ones(3), TRUTH.shape)
    expected = keras.ops.mean(keras.losses.sparse_categorical_crossentropy(TRUTH, guess.astype(np.float32)))
    assert _loss(SegmentationLoss(), guess) == pytest.approx(float(expected), rel=1e-4)


def test_weights_make_a_missed_target_dearer_than_missed_background():
    """Being unsure of the target costs more than being unsure of as much background."""
    loss = SegmentationLoss((1, 2, 4))
    doubtful = _soft(0.9)
    at_target, at_background = doubtful.copy(), doubtful.copy()
    at_target[0, 1, 0] = at_background[0, 0, 0] = [0.3, 0.3, 0.4]
    at_background[0, 0, 0] = [0.4, 0.3, 0.3]
    assert _loss(loss, at_target) > _loss(loss, at_background) > _loss(loss, doubtful)


def test_dice_punishes_a_false_target():
    """Soft dice grows when target is seen where there is none."""
    only_dice = [SegmentationLoss(dice=weight) for weight in (1.0, 0.0)]
    false = _soft(0.98)
    false[0, 0, 0] = [0.1, 0.0, 0.9]
    cost = [_loss(only_dice[0], guess) - _loss(only_dice[1], guess) for guess in (_soft(0.98), false)]
    assert 0 < cost[0] < cost[1] < 1


def test_dice_takes_pictures_one_by_one():
    """A small target missed costs as much whatever else is in the batch: dice is a mean over pictures."""
    dice = SegmentationLoss(dice=1.0), SegmentationLoss()
    small, large = np.zeros((2, 1, 32, 32), dtype=np.uint8)
    small[0, 4:8, 4:8], large[0, 2:30, 2:30] = 2, 2

    def cost(truth, seen):
        guess = np.eye(3, dtype=np.float32)[seen]
        values = [float(keras.ops.convert_to_numpy(loss(truth, guess))) for loss in dice]
        return values[0] - values[1]

    missed, found = cost(small, small * 0), cost(large, large)
    together = cost(np.concatenate([small, large]), np.concatenate([small * 0, large]))
    assert together == pytest.approx((missed + found) / 2, abs=1e-4)
    assert missed > 0.3


def test_a_certain_mistake_costs_much_but_not_infinitely():
    """A probability of zero for the truth gives a finite loss."""
    assert 10 < _loss(SegmentationLoss(), np.eye(3)[2 - TRUTH]) < 20


def test_it_survives_saving():
    """The loss is rebuilt from its configuration, as loading a model does."""
    loss = keras.losses.deserialize(keras.losses.serialize(SegmentationLoss((1, 2, 4), 0.5)))
    assert (loss.class_weights, loss.dice) == ((1.0, 2.0, 4.0), 0.5)
