"""Frames written to disk come back as they were."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.sim_bridge.unhurried import SteppedCamera, SteppedClock

from quadfollow_core.errors import BadInput
from quadfollow_sim import pace, save
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


@pytest.mark.parametrize(("seconds", "count"), [(None, 4), (0.5, 2), (9.0, 4)])
def test_what_is_due_in_time_is_saved(tmp_path: Path, seconds: float | None, count: int) -> None:
    """Pictures that have times of their own are counted by these, and nobody waits for them."""
    source = ScriptedSource(Observation(np.zeros((8, 8, 3), dtype=np.uint8), "a") for _ in range(4))
    source.times, source.again = (0.0, 0.1, 0.5, 7.0), None  # type: ignore[attr-defined]
    assert save_frames(source, tmp_path, seconds) == count


def test_a_camera_is_saved_at_the_rate_for_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 20 pictures a second 10 are taken, for two seconds; a camera that ends before is no more waited for."""
    clock = SteppedClock()
    for module in (pace, save):
        monkeypatch.setattr(module, "time", clock)
    assert save_frames(SteppedCamera(clock, 0.05, 1000, rate=10.0), tmp_path / "a", 2.0) == 20
    assert save_frames(SteppedCamera(clock, 0.5, 3), tmp_path / "b", 60.0) == 3


def test_recordings_never_mix(tmp_path: Path) -> None:
    """A folder that holds frames is left alone."""
    save_frames(DrawnSource(0.1), tmp_path)
    with pytest.raises(BadInput, match="not empty"):
        save_frames(DrawnSource(0.1), tmp_path)
