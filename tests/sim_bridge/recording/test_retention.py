"""Old files go, by age and by size; nobody else's ever does."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from tests.sim_bridge.recording.conftest import Publisher, moment
from tests.sim_bridge.unhurried import PATIENCE

from quadfollow_core.codec import encode_jpeg
from quadfollow_core.errors import BadInput
from quadfollow_sim.recording import retention, subscriber
from quadfollow_sim.recording.cli import record
from quadfollow_sim.recording.reader import is_whole, read_messages
from quadfollow_sim.recording.retention import LEAST, Retention, parse_size, series
from quadfollow_sim.recording.tape import Tape


@pytest.mark.parametrize("flush", [0.0, 600.0], ids=["slow pictures", "fast pictures"])
@pytest.mark.parametrize("limit", [LEAST, 5_000_000])
def test_a_recording_of_limited_size_keeps_its_newest_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int, flush: float
) -> None:
    """All files together stay within the limit all the while, each is whole, and what is left is the end of it."""
    monkeypatch.setattr("quadfollow_sim.recording.tape.FLUSH", flush)
    (tmp_path / "other.mcap").write_bytes(bytes(10**6))
    large = encode_jpeg(np.random.default_rng(1).integers(0, 256, (200, 200, 3), dtype=np.uint8))
    with Tape(tmp_path / "a.mcap", Retention(size=limit)) as tape:
        for number in range(300):
            tape.write(replace(moment(number), image=large))
            assert sum(path.stat().st_size for path in series(tmp_path / "a.mcap")) < limit
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


def test_old_files_go_while_a_recorder_waits(
    tmp_path: Path, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a single picture new files are begun, and whenever one is, the old ones go."""
    monkeypatch.setattr(retention, "LONGEST", 0.0)
    monkeypatch.setattr(subscriber, "PATIENCE", 0.01)
    others = [tmp_path / "b.mcap", tmp_path / "a-x.mcap"]
    for path in others:
        path.write_bytes(b"")
    end = time.monotonic() + PATIENCE

    def is_over() -> bool:
        assert time.monotonic() < end, "nothing was deleted"
        if len(tape.files) == 3:  # a recorder of many days, not two looks
            for path in (*others, *tape.files[:2]):
                os.utime(path, (time.time() - 8 * 86400,) * 2)
        return len(tape.files) > 3 and bool(tape.deleted)

    with Tape(tmp_path / "a.mcap", Retention(days=7)) as tape:
        subscriber.record_publications(publisher.address, tape, stop=is_over)
    assert tape.deleted == tape.files[:2]
    assert set(tmp_path.iterdir()) == {*others, *tape.files[2:]}
    assert all(is_whole(path) for path in tape.files[2:])


@pytest.mark.parametrize(("days", "seconds"), [(7.0, 3600.0), (0.01, 864.0), (None, None)])
def test_a_new_file_is_begun_every_hour_where_age_matters(days: float | None, seconds: float | None) -> None:
    """Sooner where less is kept, and never where all is."""
    kept = Retention(days=days)
    if seconds is None:
        assert not kept.is_full(10**12, 10**9)
    else:
        assert (kept.is_full(0, seconds - 1), kept.is_full(0, seconds)) == (False, True)


def test_the_command_keeps_as_much_as_it_is_told(tmp_path: Path, publisher: Publisher) -> None:
    """`record --keep-days --max-size` deletes what is too old, then what is too much, and says so."""
    for name, days in (("a.mcap", 3.0), ("a-2.mcap", 1.0), ("a-3.mcap", 0.5)):
        (tmp_path / name).write_bytes(bytes(4_000_000))
        os.utime(tmp_path / name, (time.time() - days * 86400,) * 2)
    options = ["--from", publisher.address, "-o", str(tmp_path / "a.mcap"), "--seconds", "0.05", "--json"]
    told = []
    for limits in ([], ["--keep-days", "2"], ["--max-size", "6M"]):
        done = CliRunner().invoke(record, [*options, *limits], catch_exceptions=False)
        told.append([Path(path).name for path in json.loads(done.stdout)["deleted"]])
    assert told == [[], ["a.mcap"], ["a-2.mcap"]]


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


def test_too_little_for_a_few_pictures_cannot_be_kept_to() -> None:
    """The least that can is named."""
    with pytest.raises(BadInput, match=f"--max-size.*{LEAST}"):
        Retention(size=LEAST - 1)
