"""Frames written to disk come back as they were."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from quadfollow_core.errors import BadInput
from quadfollow_sim.drawn import DrawnSource
from quadfollow_sim.replay import ReplaySource
from quadfollow_sim.save import save_frames
from quadfollow_sim.world import Observation, ScriptedSource


def test_a_saved_clip_replays_as_it_was(tmp_path: Path) -> None:
    """Images are equal to the byte and masks to the pixel."""
    assert save_frames(DrawnSource(0.3), tmp_path) == 6
    replayed, drawn = ReplaySource(tmp_path), DrawnSource(0.3)
    for again, first in zip(iter(replayed.read, None), iter(drawn.read, None), strict=True):
        assert again.image == first.image
        np.testing.assert_array_equal(again.truth, first.truth)


def test_a_world_without_truth_saves_pictures_only(tmp_path: Path) -> None:
    """No masks/ where nothing is known."""
    save_frames(ScriptedSource([Observation(np.zeros((8, 8, 3), dtype=np.uint8), "a")]), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["images"]


def test_recordings_never_mix(tmp_path: Path) -> None:
    """A folder that holds frames is left alone."""
    save_frames(DrawnSource(0.1), tmp_path)
    with pytest.raises(BadInput, match="not empty"):
        save_frames(DrawnSource(0.1), tmp_path)
