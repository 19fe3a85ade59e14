"""Augmentation steps: what each may change and what it must leave alone."""

from __future__ import annotations

import numpy as np
import pytest

from quadfollow_core.errors import BadInput
from quadfollow_training.augment import STEPS, compose


@pytest.fixture
def sample():
    """An image whose mask follows from its red channel."""
    rng = np.random.default_rng(3)
    image = rng.integers(20, 200, (40, 48, 3)).astype(np.uint8)
    mask = np.zeros((40, 48), dtype=np.uint8)
    mask[10:20, 5:15], mask[25:30, 30:40] = 1, 2
    return image, mask


@pytest.mark.parametrize("name", sorted(STEPS))
def test_a_step_is_pure(name, sample):
    """A step changes neither its inputs nor its answer when called again with the same generator."""
    image, mask = sample
    before = image.copy(), mask.copy()
    for seed in range(8):
        first = STEPS[name](image, mask, np.random.default_rng(seed))
        again = STEPS[name](image, mask, np.random.default_rng(seed))
        assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
        assert first[0].dtype == first[1].dtype == np.uint8
        assert first[0].shape[:2] == first[1].shape
        assert set(np.unique(first[1])) <= {0, 1, 2}
    assert np.array_equal(image, before[0])
    assert np.array_equal(mask, before[1])


@pytest.mark.parametrize("name", sorted(STEPS.keys() - {"flip"}))
def test_a_step_on_colours_leaves_the_mask_alone(name, sample):
    """Steps that only touch colours keep the size and return the mask as it was, and do change some image."""
    image, mask = sample
    results = [STEPS[name](image, mask, np.random.default_rng(seed)) for seed in range(20)]
    assert all(np.array_equal(found, mask) for _, found in results)
    assert any(not np.array_equal(found, image) for found, _ in results)


def test_flip_mirrors_image_and_mask_together(sample):
    """A flipped sample, flipped back, is the sample."""
    image, mask = sample
    flipped = [STEPS["flip"](image, mask, np.random.default_rng(seed)) for seed in range(20)]
    mirrored = [(i, m) for i, m in flipped if not np.array_equal(i, image)]
    assert 0 < len(mirrored) < 20
    assert all(np.array_equal(i[:, ::-1], image) and np.array_equal(m[:, ::-1], mask) for i, m in mirrored)


def test_steps_run_in_the_order_named(sample):
    """A composition is its steps one after the other on one generator."""
    image, mask = sample
    rng = np.random.default_rng(7)
    expected = STEPS["brightness"](*STEPS["flip"](image, mask, rng), rng)
    found = compose(["flip", "brightness"])(image, mask, np.random.default_rng(7))
    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


def test_an_unknown_step_is_refused_by_name():
    """The refusal names the step and lists those there are."""
    with pytest.raises(BadInput, match=r"'rotate'.*brightness"):
        compose(["rotate"])
