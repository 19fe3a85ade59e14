"""The rules that ``benchmarks/decision.py`` compares decide as they say."""

from __future__ import annotations

import numpy as np
import pytest
from decision import Rule
from numpy.typing import NDArray

from quadfollow_core.resize import PERSON, TARGET


@pytest.fixture
def channels() -> NDArray[np.uint8]:
    """A patch of 9 pixels that is hardly sure, one pixel that is very sure, and a person."""
    frame = np.zeros((1, 16, 16, 3), np.uint8)
    frame[0, 2:5, 2:5, TARGET] = 130
    frame[0, 10, 10, TARGET] = 250
    frame[0, 12:, :, PERSON] = 255
    return frame


@pytest.mark.parametrize(
    ("rule", "kept"),
    [(Rule(), 10), (Rule(threshold=131), 1), (Rule(peak=131), 1), (Rule(area=2), 9), (Rule(peak=131, area=2), 0)],
)
def test_a_patch_must_be_sure_and_large_enough(channels: NDArray[np.uint8], rule: Rule, kept: int) -> None:
    """Threshold, peak and area each take away what falls short of them, and nothing else changes."""
    decided = rule(channels)
    assert (decided[..., TARGET] == 255).sum() == kept
    assert set(np.unique(decided[..., TARGET])) <= {0, 255}
    assert (decided[..., PERSON] == channels[..., PERSON]).all()


def test_patches_that_touch_at_a_corner_are_one(channels: NDArray[np.uint8]) -> None:
    """So an outline that is drawn diagonally does not fall apart, and its surest pixel speaks for it."""
    channels[0, 5, 5, TARGET] = 200
    assert (Rule(peak=200)(channels)[..., TARGET] == 255).sum() == 11
