"""Rendered frames and the choice of recorded ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from quadfollow_core.errors import BadDataset
from quadfollow_export.frames import recorded
from quadfollow_export.scenes import render_scenes


def test_scenes_repeat_and_differ() -> None:
    """The same seed gives the same frames; another seed, and each next frame, others."""
    first = render_scenes(3, (64, 48), seed=1)
    assert (first.shape, first.dtype) == ((3, 48, 64, 3), np.uint8)
    assert np.array_equal(first, render_scenes(3, (64, 48), seed=1))
    assert not np.array_equal(first, render_scenes(3, (64, 48), seed=2))
    assert not np.array_equal(first[0], first[1])


def test_recorded_frames_are_spread_over_all_sets(evaluation: Path) -> None:
    """Five of nine frames come from every set, each once, with their truth."""
    samples = recorded(evaluation, 5, (64, 64))
    assert (samples.images.shape, len(samples.truth)) == ((5, 64, 64, 3), 5)
    assert len(np.unique(samples.images, axis=0)) == 5
    assert len(recorded(evaluation, 99, (64, 64)).images) == 9
    assert recorded(evaluation / "patrol_non_targ", 99, (32, 32)).origin == "3 frames of patrol_non_targ"


def test_sets_that_do_not_pair_are_refused(evaluation: Path) -> None:
    """A missing mask is a fault of the data."""
    (evaluation / "following_images" / "masks" / "2.png").unlink()
    with pytest.raises(BadDataset, match="3 files but"):
        recorded(evaluation, 5, (64, 64))
