"""``fly --record``: a flight's pictures and answers, recorded beside it and never in its way."""

from __future__ import annotations

import json
import resource
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.sim_bridge.recording.conftest import decoded
from tests.sim_bridge.unhurried import PATIENCE, PROGRAM

from quadfollow_sim.drawn import DrawnSource

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start_fly(start_program: Start) -> Start:
    """Start ``fly`` in a process of its own, with patience: the first picture at least is answered."""
    return partial(start_program, "fly", program=PROGRAM)


def test_a_flight_is_recorded_as_it_was_sent(tmp_path: Path, start_peer: Any, start_fly: Start) -> None:
    """Every answered picture is there byte for byte, with its answer, its pose and the truth."""
    peer = start_peer()
    path = tmp_path / "a.mcap"
    arguments = ("--server", peer.address, "--out", tmp_path / "out", "--seconds", 1, "--record", path, "--json")
    process = start_fly(*arguments, "--no-video", "--stream", "front")
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    assert "people are in these pictures" in err
    report = json.loads(out)
    recording = report["recording"]
    assert recording == {"file": str(path), "pictures": report["answers"], "left_out": 0, "error": None}
    assert report["files"]["record"] == str(path)
    rows = decoded(path)
    images = [message.data for topic, _, _, message in rows if topic == "/front/image"]
    results = [json.loads(message) for topic, _, _, message in rows if topic == "/front/result"]
    assert len(images) == len(results) == report["answers"] > 0
    sent = [bytes(request.image) for request in peer.requests]
    assert all(image in sent for image in images)
    assert all(result["truth"] and result["camera"]["pose"] for result in results)
    assert {"/tf", "/front/drone", "/front/truth", "/front/annotations"} <= {topic for topic, *_ in rows}
    assert any(topic == "/log" for topic, *_ in rows) == (report["frames"] > report["answers"])


def test_without_the_switch_nothing_is_recorded(tmp_path: Path, start_peer: Any, start_fly: Start) -> None:
    """Recording is off unless it is asked for."""
    process = start_fly(
        *("--server", start_peer().address, "--out", tmp_path / "out", "--seconds", 0.3, "--json", "--no-video")
    )
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    assert "recording" not in json.loads(out)
    assert not list(tmp_path.rglob("*.mcap"))


def test_a_full_disk_ends_the_recording_and_not_the_flight(tmp_path: Path, start_peer: Any, start_fly: Start) -> None:
    """One picture is too much for it. The flight goes on to its end, and says what became of the recording."""
    first = DrawnSource(1.0).read()
    assert first is not None
    room = len(first.image)
    path = tmp_path / "a.mcap"
    process = start_fly(
        *("--server", start_peer().address, "--out", tmp_path / "out", "--seconds", 2, "--record", path),
        *("--json", "--no-video"),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (room, room)),
    )
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    report = json.loads(out)
    assert report["seconds"] > 1.5
    assert "no room left" in report["recording"]["error"]
    assert "the flight goes on" in err
    assert "Traceback" not in err
