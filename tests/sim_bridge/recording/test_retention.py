"""Old files go, by age and by size; nobody else's ever does."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.sim_bridge.recording.conftest import moment

from quadfollow_core.codec import encode_jpeg
from quadfollow_core.errors import BadInput
from quadfollow_sim.recording.reader import is_whole, read_messages
from quadfollow_sim.recording.retention import CHUNK, Retention, parse_size, series
from quadfollow_sim.recording.tape import Tape


def test_a_recording_of_limited_size_keeps_its_newest_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All files together stay within the limit, each is whole, and what is left is the end of it."""
    monkeypatch.setattr("quadfollow_sim.recording.tape.FLUSH", 0.0)
    (tmp_path / "other.mcap").write_bytes(bytes(10**6))
    limit = 5_000_000
    large = encode_jpeg(np.random.default_rng(1).integers(0, 256, (200, 200, 3), dtype=np.uint8))
    with Tape(tmp_path / "a.mcap", Retention(size=limit)) as tape:
        for number in range(300):
            tape.write(replace(moment(number), image=large))
    files = series(tmp_path / "a.mcap")
    assert 4 < len(files) < len(tape.files)
    assert set(files) == set(tape.files) - set(tape.deleted)
    assert sum(path.stat().st_size for path in files) < limit
    assert all(is_whole(path) for path in files)
    times = [heard.time for path in files for heard in read_messages(path) if heard.channel.topic == "/front/image"]
    assert times == sorted(times)
    assert times[-1] == pytest.approx(1_700_000_000 + 299 / 20)
    assert (tmp_path / "other.mcap").exists()


def test_files_older_than_asked_go_when_a_recording_begins(tmp_path: Path) -> None:
    """Those of the same name only; the younger stay, and no number is used twice."""
    for name, days in (("a.mcap", 9.0), ("a-2.mcap", 8.0), ("a-3.mcap", 1.0), ("b.mcap", 9.0), ("a-b.mcap", 9.0)):
        (tmp_path / name).write_bytes(b"")
        os.utime(tmp_path / name, (time.time() - days * 86400,) * 2)
    with Tape(tmp_path / "a.mcap", Retention(days=7)) as tape:
        assert [path.name for path in tape.deleted] == ["a.mcap", "a-2.mcap"]
        assert tape.files[0].name == "a-4.mcap"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a-3.mcap", "a-4.mcap", "a-b.mcap", "b.mcap"]


def test_sizes_are_read_as_people_write_them() -> None:
    """With or without a unit; anything else is named."""
    assert [parse_size(text) for text in ("500", "1.5k", "500M", "2GB", "1 T")] == [
        500,
        1500,
        5 * 10**8,
        2 * 10**9,
        10**12,
    ]
    for text in ("", "much", "-1M", "1X"):
        with pytest.raises(BadInput, match="500M"):
            parse_size(text)


@pytest.mark.parametrize("values", [{"days": 0.0}, {"size": 0}, {"days": -1.0}])
def test_nothing_at_all_is_not_kept(values: dict[str, float]) -> None:
    """A limit of nothing is a mistake."""
    with pytest.raises(BadInput, match="above zero"):
        Retention(**values)  # type: ignore[arg-type]


def test_less_than_is_written_at_once_cannot_be_kept_to() -> None:
    """A file would be full before anything is in it."""
    with pytest.raises(BadInput, match=f"--max-size.*{CHUNK}"):
        Retention(size=CHUNK - 1)
    assert not Retention(size=CHUNK).is_full(CHUNK // 16, 0.0)
