"""The loop keeps the source's pace, counts what it misses, and gives every frame exactly one fate."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.sim_bridge.conftest import by_colour
from tests.sim_bridge.unhurried import PATIENCE, ClientInStep, PatientClient, SteppedCamera, SteppedClock

from quadfollow_core.codec import encode_jpeg
from quadfollow_core.errors import ServerGone
from quadfollow_core.request import FrameRequest, Result
from quadfollow_core.stream_client import StreamClient
from quadfollow_sim import bridge
from quadfollow_sim.bridge import Flight, fly, require_server
from quadfollow_sim.drawn import DrawnSource
from quadfollow_sim.report import summarise
from quadfollow_sim.video import VideoWriter
from quadfollow_sim.world import FrameSource, Observation, ScriptedSource

SIZE = {"width": 32, "height": 32}
IMAGE = encode_jpeg(np.zeros((32, 32, 3), dtype=np.uint8))
NOBODY = "tcp://127.0.0.1:9"
Peers = Callable[..., "object"]
InStep = type[ClientInStep]


def frames(count: int) -> Iterator[Observation]:
    """So many black pictures."""
    return (Observation(IMAGE, str(number)) for number in range(count))


class SlowSource(ScriptedSource):
    """A world that takes its time over every picture."""

    def __init__(self, observations: Iterator[Observation], rate: float, seconds: float, clock: SteppedClock) -> None:
        super().__init__(observations, rate)
        self._seconds = seconds
        self._clock = clock

    def read(self, skip: int = 0) -> Observation | None:
        """Read after a while."""
        self._clock.sleep(self._seconds)
        return super().read(skip)


def flight(source: FrameSource, client: StreamClient, **options: object) -> Flight:
    """Fly a source to a client's server."""
    with client:
        return fly(source, client, **options)  # type: ignore[arg-type]


def settled(flown: Flight) -> dict[int, str]:
    """Outcome by id; asserts that no id has two."""
    ids = [row.id for row in flown.rows]
    assert len(set(ids)) == len(ids)
    return {row.id: row.outcome for row in flown.rows}


def test_every_frame_is_answered_at_the_sources_pace(start_peer: Peers, in_step: InStep) -> None:
    """A quick server answers every frame of a second, the last one too, in order; each goes out when it is due."""
    flown = flight(ScriptedSource(frames(20), rate=20.0), in_step(start_peer().address))
    outcomes = settled(flown)
    assert set(outcomes.values()) == {"result"}
    assert (len(outcomes), flown.skipped) == (20, 0)
    assert [row.name for row in flown.rows] == [str(number) for number in range(20)]
    assert [row.id for row in flown.rows] == sorted(outcomes)
    assert flown.seconds == pytest.approx(1.0, abs=0.001)
    for number, row in enumerate(flown.rows):
        assert row.lag_ms == pytest.approx(0, abs=0.1)
        assert row.offered_s == pytest.approx(number / 20, abs=0.001)
    assert flown.rows[0].age_ms is None
    assert [row.age_ms for row in flown.rows[1:]] == pytest.approx([50.0] * 19, abs=0.1)


def test_the_pace_is_the_real_clocks(start_peer: Peers) -> None:
    """No frame goes out before it is due, and the flight is no shorter than asked."""
    began = time.monotonic()
    flown = flight(ScriptedSource(frames(10_000), rate=50.0), PatientClient(start_peer().address), seconds=0.5)
    assert 0.5 <= flown.seconds <= time.monotonic() - began
    assert len(flown.rows) + flown.skipped <= 50 * flown.seconds + 1
    for row in flown.rows:
        assert row.lag_ms >= 0
        assert row.offered_s >= int(row.name) / 50 - 0.0001  # rounded so


def test_a_slow_server_costs_frames_and_each_has_one_fate(start_peer: Peers, in_step: InStep) -> None:
    """With 60 ms per answer at 50 Hz two thirds are replaced here, the newest is answered, none is unaccounted for."""
    in_step.service = 0.06
    flown = flight(ScriptedSource(frames(50), rate=50.0), in_step(start_peer().address))
    outcomes = settled(flown)
    assert set(outcomes) == set(range(1, 51))
    assert flown.skipped == 0
    counts = Counter(outcomes.values())
    assert set(counts) == {"result", "unsent"}
    assert counts["unsent"] == pytest.approx(2 * counts["result"], abs=4)
    assert outcomes[50] == "result"
    assert summarise(flown)["outcomes"]["unsent"] == counts["unsent"]


def test_drops_and_errors_are_told_apart(start_peer: Peers, in_step: InStep) -> None:
    """What the server drops or refuses is counted under its own name, with the reason."""

    def answer(request: FrameRequest) -> Result:
        number = int(request.id or 0)
        if number % 3 == 1:
            return Result({"type": "dropped", "id": number, "reason": "superseded"})
        if number % 3 == 2:
            return Result({"type": "error", "id": number, "code": "bad-image", "detail": "grey stripe"})
        return Result({"type": "result", "id": number, "frame": SIZE, "target": None})

    report = summarise(flight(ScriptedSource(frames(9), rate=100.0), in_step(start_peer(answer).address)))
    assert report["outcomes"] == {"result": 3, "dropped": 3, "error": 3, "unsent": 0, "lost": 0}
    assert set(report["reasons"]) == {"superseded", "grey stripe"}


@pytest.mark.parametrize(
    "spoilt",
    [
        {"target": 7},
        {"track": "x"},
        {"frame": None},
        {"frame": {"width": 32, "height": 0}},
        {"held_ms": "long"},
        {"timings": [1.0]},
        {"mask": None},
    ],
    ids=str,
)
def test_an_answer_that_cannot_be_read_is_an_error(
    start_peer: Peers, in_step: InStep, tmp_path: Path, spoilt: dict[str, Any]
) -> None:
    """The flight goes on by the others, its film too, and says what was wrong."""

    def answer(request: FrameRequest) -> Result:
        good = by_colour(request)
        return Result(good.body | spoilt, good.mask_png) if int(request.id or 0) % 2 else good

    film = VideoWriter(tmp_path / "film.mp4", 20.0)
    client = in_step(start_peer(answer).address)
    flown = flight(DrawnSource(0.5), client, ask=lambda seen: {"want": ["target", "mask:png"]}, witnesses=(film,))
    film.close()
    assert [row.outcome for row in flown.rows] == ["error", "result"] * 5
    assert all("cannot be read" in (row.reason or "") for row in flown.rows[::2])
    assert summarise(flown)["outcomes"] == {"result": 5, "dropped": 0, "error": 5, "unsent": 0, "lost": 0}


def test_a_mask_that_is_no_picture_is_an_error(start_peer: Peers, in_step: InStep) -> None:
    """As any other answer that cannot be read."""

    def answer(request: FrameRequest) -> Result:
        return Result(by_colour(request).body, b"\x89PNG\r\n\x1a\nrubbish")

    client = in_step(start_peer(answer).address)
    flown = flight(DrawnSource(0.2), client, ask=lambda seen: {"want": ["target", "mask:png"]})
    assert [row.outcome for row in flown.rows] == ["error"] * 4


def test_a_silent_server_loses_frames_and_the_flight_goes_on(start_peer: Peers, in_step: InStep) -> None:
    """Frames without an answer are lost after the time-out; all are accounted for and the server is not gone."""
    in_step.service = None
    peer = start_peer(lambda request: None)
    flown = flight(ScriptedSource(frames(10), rate=20.0), in_step(peer.address, timeout=0.1))
    outcomes = settled(flown)
    assert len(outcomes) == 10
    assert set(outcomes.values()) == {"unsent", "lost"}
    assert not flown.server_gone


def test_a_server_that_goes_away_is_noticed(start_peer: Peers, in_step: InStep) -> None:
    """When the last frames are lost and no ping is answered, the flight says so."""
    peer = start_peer()
    client = in_step(peer.address, timeout=0.1)
    client.patience = 0.2
    seen: list[int] = []

    def watch(row: object, observation: object, fate: object) -> None:
        seen.append(1)
        if len(seen) == 3:
            peer.stop()
            client.service = None

    flown = flight(ScriptedSource(frames(12), rate=20.0), client, witnesses=(watch,))
    outcomes = settled(flown)
    assert len(outcomes) == len(seen) == 12
    assert [outcomes[number] for number in (1, 2, 3)] == ["result"] * 3
    assert outcomes[12] == "lost"
    assert flown.server_gone


def test_a_server_that_is_not_there_is_named() -> None:
    """Before the flight a missing server is an error with its address and a remedy."""
    with StreamClient(NOBODY) as client, pytest.raises(ServerGone, match=r"127.0.0.1:9.*quadfollow serve"):
        require_server(client, 0.2)


def test_a_late_source_skips_and_says_so(start_peer: Peers, in_step: InStep) -> None:
    """A world that needs 70 ms for pictures due every 20 shows some, skips the rest, and counts both and the lag."""
    source = SlowSource(frames(40), 50.0, 0.07, in_step.clock)
    flown = flight(source, in_step(start_peer().address))
    report = summarise(flown)
    assert report["outcomes"]["result"] == report["frames"]
    assert report["frames"] == pytest.approx(40 * 0.02 / 0.07, abs=1)
    assert report["frames"] + report["skipped"] == int(flown.rows[-1].name) + 1 <= 40
    assert report["lag_ms"]["p50"] > 60
    assert flown.seconds == pytest.approx(0.07 * (report["frames"] + 1), abs=0.001)  # the end is read too


def test_a_camera_is_waited_for(start_peer: Peers, in_step: InStep, tmp_path: Path) -> None:
    """Of one slower than the rate no turn is missed, answers are taken when they come, the film lasts as the flight."""
    in_step.service = 0.015
    camera, film = SteppedCamera(in_step.clock, 0.2, 50), VideoWriter(tmp_path / "film.mp4", 20.0)
    report = summarise(flight(camera, in_step(start_peer().address), witnesses=(film,)))
    film.close()
    assert report["outcomes"]["result"] == report["frames"] == 50
    assert report["skipped"] == 0
    assert 15 <= report["latency_ms"]["p50"] <= report["latency_ms"]["max"] < 20
    assert report["lag_ms"]["max"] < 5
    assert film.frames == 49 * 4 + 1


def test_a_quick_camera_is_thinned(start_peer: Peers, in_step: InStep) -> None:
    """Of 100 pictures a second the rate is taken, the newest each time; the others were not missed."""
    report = summarise(flight(SteppedCamera(in_step.clock, 0.01, 100), in_step(start_peer().address)))
    assert report["frames"] == pytest.approx(20, abs=1)
    assert report["skipped"] == 0
    assert report["latency_ms"]["max"] < 15


def test_pictures_that_a_camera_made_meanwhile_are_skipped(start_peer: Peers, in_step: InStep) -> None:
    """Held up for half a second, the loop goes on with the newest picture and counts those it came too late for."""
    seen: list[object] = []

    def dawdle(row: object, observation: object, fate: object) -> None:
        seen.append(row)
        if len(seen) == 5:
            in_step.clock.sleep(0.5)

    flown = flight(SteppedCamera(in_step.clock, 0.05, 40), in_step(start_peer().address), witnesses=(dawdle,))
    assert flown.skipped == pytest.approx(9, abs=1)
    assert len(flown.rows) + flown.skipped == 40


def test_a_flight_ends_after_its_seconds(start_peer: Peers, in_step: InStep) -> None:
    """Of an endless world just the asked time is flown, to the first frame after it."""
    flown = flight(ScriptedSource(frames(10_000), rate=50.0), in_step(start_peer().address), seconds=0.49)
    assert flown.seconds == pytest.approx(0.5, abs=0.001)
    assert (len(flown.rows), flown.skipped) == (26, 0)


def test_a_flight_stops_when_told_to(start_peer: Peers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told to stop while a frame is in flight, it waits for that one's answer, offers no other, and returns."""
    monkeypatch.setattr(bridge, "DRAIN", PATIENCE)
    told = threading.Event()

    def answer(request: FrameRequest) -> Result:
        told.wait(PATIENCE)
        return Result({"type": "result", "id": request.id, "frame": SIZE, "target": None})

    peer = start_peer(answer)

    def stop() -> bool:
        if peer.requests:
            told.set()
        return told.is_set()

    flown = flight(ScriptedSource(frames(10_000), rate=0.001), PatientClient(peer.address), stop=stop)
    assert flown.interrupted
    assert settled(flown) == {1: "result"}


def test_requests_carry_what_was_asked(start_peer: Peers, in_step: InStep) -> None:
    """The asker's keys reach the server with every picture."""
    peer = start_peer()
    flight(ScriptedSource(frames(3)), in_step(peer.address), ask=lambda observation: {"model": f"m{observation.name}"})
    assert [request.model for request in peer.requests] == ["m0", "m1", "m2"]
