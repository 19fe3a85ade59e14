"""The recorder of a flight: whatever ends it is told, and every picture that was left out is counted."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

from tests.sim_bridge.recording.conftest import BODY, decoded, picture
from tests.sim_bridge.unhurried import PATIENCE

from quadfollow_core.stream_client import Fate
from quadfollow_sim.judge import judge
from quadfollow_sim.recording import witness
from quadfollow_sim.recording.witness import FlightRecorder
from quadfollow_sim.world import Observation


def show(recorder: FlightRecorder, number: int, camera: Any = None, **body: Any) -> None:
    """Hand a picture with its answer over."""
    observation = Observation(picture(number), f"picture {number}", number / 20, camera)
    fate = Fate(number, "result", 0.0, BODY | body)
    recorder(judge(fate, observation, offered_s=0.0, lag_ms=0.0, age_ms=None), observation, fate)


def test_an_answer_that_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    """It is counted, the recording's log says so, and the others are recorded."""
    with FlightRecorder(tmp_path / "a.mcap", "front") as recorder:
        for number in range(6):
            show(recorder, number, **({"track": "x"} if number == 2 else {}))
    told = {"file": str(tmp_path / "a.mcap"), "pictures": 5, "left_out": 1, "error": None}
    assert recorder.summary() == told
    rows = decoded(tmp_path / "a.mcap")
    assert [message.data for topic, *_, message in rows if topic == "/front/image"] == [
        picture(number) for number in (0, 1, 3, 4, 5)
    ]
    assert any(topic == "/log" and "picture 2 left out" in message.message for topic, *_, message in rows)


def test_whatever_ends_the_recording_is_told(tmp_path: Path, capsys: Any) -> None:
    """Here a camera that is none, a mistake of ours; what comes after it is left out, and the flight goes on."""
    with FlightRecorder(tmp_path / "a.mcap", "front") as recorder:
        for number in range(6):
            show(recorder, number, camera="no camera" if number == 1 else None)
    summary = recorder.summary()
    assert (summary["pictures"], summary["left_out"]) == (1, 5)
    assert "AttributeError" in summary["error"]
    assert "the flight goes on" in capsys.readouterr().err
    assert sum(topic == "/front/image" for topic, *_ in decoded(tmp_path / "a.mcap")) == 1


class Stuck:
    """A camera that holds the recorder up until it is let go, and then fails."""

    def __init__(self) -> None:
        self.go = threading.Event()

    @property
    def intrinsics(self) -> None:
        """Fail at last."""
        self.go.wait(PATIENCE)
        raise OSError("the disk")


def test_a_recording_that_ended_is_closed_at_once(tmp_path: Path, monkeypatch: Any) -> None:
    """However much still waits for the disk, nobody waits for a recorder that is gone."""
    monkeypatch.setattr(witness, "CLOSING", threading.TIMEOUT_MAX)
    camera, end = Stuck(), time.monotonic() + PATIENCE
    with FlightRecorder(tmp_path / "a.mcap") as recorder:
        for number in range(witness.WAITING + 2):
            show(recorder, number, camera=camera)
        camera.go.set()
        while recorder.error is None:
            assert time.monotonic() < end
            time.sleep(0.01)
    assert recorder.left_out == witness.WAITING + 2
