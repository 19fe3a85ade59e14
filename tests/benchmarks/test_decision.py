"""The rules that ``benchmarks/decision.py`` compares decide as they say."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from quadfollow_core.resize import PERSON, TARGET


@pytest.fixture
def probabilities() -> NDArray[np.float32]:
    """A frame with a patch of 9 pixels that is hardly sure, one pixel that is very sure, and a person."""
    frame = np.zeros((1, 16, 16, 3), np.float32)
    frame[0, 2:5, 2:5, TARGET] = 0.52
    frame[0, 10, 10, TARGET] = 0.99
    frame[0, 12:, :, PERSON] = 1
    frame[..., 0] = 1 - frame.sum(axis=-1)
    return frame


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        ({}, 10),
        ({"threshold": 140}, 1),
        ({"area": 2}, 9),
        ({"threshold": 140, "area": 2}, 0),
        ({"lead": 4.5}, 10),
        ({"lead": 4.7}, 0),
    ],
)
def test_a_patch_must_be_large_and_its_frame_sure(
    probabilities: NDArray[np.float32], words: dict[str, float], kept: int
) -> None:
    """Threshold and area each take away what falls short, the lead all or nothing; nothing else changes."""
    from decision import Rule

    decided = Rule(**words)(probabilities)  # type: ignore[arg-type]
    assert (decided[..., TARGET] == 1).sum() == kept
    assert set(np.unique(decided[..., TARGET])) <= {0, 1}
    assert (decided[..., PERSON] == probabilities[..., PERSON]).all()


def test_each_frame_is_sure_for_itself(probabilities: NDArray[np.float32]) -> None:
    """A frame without the sure pixel loses its patch, the one beside it keeps all."""
    from decision import Rule

    other = probabilities.copy()
    other[0, 10, 10] = (1, 0, 0)
    decided = Rule(lead=2)(np.concatenate([probabilities, other]))
    assert [(frame[..., TARGET] == 1).sum() for frame in decided] == [10, 0]


def test_patches_that_touch_at_a_corner_are_one(probabilities: NDArray[np.float32]) -> None:
    """So an outline that is drawn diagonally does not fall apart."""
    from decision import Rule

    probabilities[0, 5, 5] = (0.3, 0, 0.7)
    assert (Rule(area=10)(probabilities)[..., TARGET] == 1).sum() == 10
