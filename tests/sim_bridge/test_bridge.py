"""The loop keeps the source's pace, counts what it misses, and gives every frame exactly one fate."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from quadfollow_core.codec import encode_jpeg
from quadfollow_core.errors import ServerGone
from quadfollow_core.request import FrameRequest, Result
from quadfollow_core.stream_client import StreamClient
from quadfollow_sim.bridge import Flight, fly, require_server
from quadfollow_sim.report import summarise
from quadfollow_sim.world import Observation, ScriptedSource

IMAGE = encode_jpeg(np.zeros((32, 32, 3), dtype=np.uint8))
NOBODY = "tcp://127.0.0.1:9"
Peers = Callable[..., "object"]


def frames(count: int) -> Iterator[Observation]:
    """So many black pictures."""
    return (Observation(IMAGE, str(number)) for number in range(count))


class SlowSource(ScriptedSource):
    """A world that takes its time over every picture."""

    seconds = 0.0

    def read(self, skip: int = 0) -> Observation | None:
        """Read after a while."""
        time.sleep(self.seconds)
        return super().read(skip)


def flight(source: ScriptedSource, address: str, *, timeout: float = 1.0, **options: object) -> Flight:
    """Fly a source to an address."""
    with StreamClient(address, timeout=timeout) as client:
        return fly(source, client, **options)  # type: ignore[arg-type]


def settled(flown: Flight) -> dict[int, str]:
    """Outcome by id; asserts that no id has two."""
    ids = [row.id for row in flown.rows]
    assert len(set(ids)) == len(ids)
    return {row.id: row.outcome for row in flown.rows}


def test_every_frame_is_answered_at_the_sources_pace(start_peer: Peers) -> None:
    """A quick server answers every frame of a second, the last one too, in order; none goes out before it is due."""
    flown = flight(ScriptedSource(frames(20), rate=20.0), start_peer().address)
    outcomes = settled(flown)
    assert set(outcomes.values()) == {"result"}
    assert len(outcomes) + flown.skipped == 20
    assert flown.rows[-1].name == "19"
    assert [row.id for row in flown.rows] == sorted(outcomes)
    assert 0.9 < flown.seconds < 1.3
    for row in flown.rows:
        assert row.lag_ms >= 0
        assert row.offered_s == pytest.approx(int(row.name) / 20 + row.lag_ms / 1000, abs=0.002)
    assert flown.rows[0].age_ms is None
    assert all(row.age_ms is not None and row.age_ms > 0 for row in flown.rows[1:])


def test_a_slow_server_costs_frames_and_each_has_one_fate(start_peer: Peers) -> None:
    """With 60 ms per answer at 50 Hz two thirds are replaced here, the newest is answered, none is unaccounted for."""
    peer = start_peer(seconds=0.06)
    flown = flight(ScriptedSource(frames(50), rate=50.0), peer.address)
    outcomes = settled(flown)
    assert set(outcomes) == set(range(1, len(outcomes) + 1))
    assert len(outcomes) + flown.skipped == 50
    counts = Counter(outcomes.values())
    assert set(counts) == {"result", "unsent"}
    assert counts["unsent"] > counts["result"] > 8
    assert outcomes[max(outcomes)] == "result"
    assert summarise(flown)["outcomes"]["unsent"] == counts["unsent"]


def test_drops_and_errors_are_told_apart(start_peer: Peers) -> None:
    """What the server drops or refuses is counted under its own name, with the reason."""

    def answer(request: FrameRequest) -> Result:
        number = int(request.id or 0)
        if number % 3 == 1:
            return Result({"type": "dropped", "id": number, "reason": "superseded"})
        if number % 3 == 2:
            return Result({"type": "error", "id": number, "code": "bad-image", "detail": "grey stripe"})
        return Result({"type": "result", "id": number, "target": None})

    flown = flight(ScriptedSource(frames(9), rate=100.0), start_peer(answer).address)
    report = summarise(flown)
    answered_all = sum(report["outcomes"].values()) == report["frames"]
    assert answered_all
    for outcome in ("result", "dropped", "error"):
        assert report["outcomes"][outcome] >= 2
    assert set(report["reasons"]) == {"superseded", "grey stripe"}


def test_a_silent_server_loses_frames_and_the_flight_goes_on(start_peer: Peers) -> None:
    """Frames without an answer are lost after the time-out; all are accounted for and the server is not gone."""
    peer = start_peer(lambda request: None)
    flown = flight(ScriptedSource(frames(10), rate=20.0), peer.address, timeout=0.1)
    outcomes = settled(flown)
    assert len(outcomes) == 10
    assert set(outcomes.values()) == {"unsent", "lost"}
    assert not flown.server_gone


def test_a_server_that_goes_away_is_noticed(start_peer: Peers) -> None:
    """When the last frames are lost and no ping is answered, the flight says so."""
    peer = start_peer()
    seen: list[int] = []

    def watch(row: object, observation: object, fate: object) -> None:
        seen.append(1)
        if len(seen) == 3:
            peer.stop()

    flown = flight(ScriptedSource(frames(12), rate=20.0), peer.address, timeout=0.1, witnesses=(watch,))
    outcomes = settled(flown)
    assert len(outcomes) == len(seen) == 12
    assert [outcomes[number] for number in (1, 2, 3)] == ["result"] * 3
    assert outcomes[12] == "lost"
    assert flown.server_gone


def test_a_server_that_is_not_there_is_named() -> None:
    """Before the flight a missing server is an error with its address and a remedy."""
    with StreamClient(NOBODY) as client, pytest.raises(ServerGone, match=r"127.0.0.1:9.*quadfollow serve"):
        require_server(client, 0.2)


def test_a_late_source_skips_and_says_so(start_peer: Peers) -> None:
    """A world that needs 70 ms for pictures due every 20 shows some, skips the rest, and counts both and the lag."""
    source = SlowSource(frames(40), rate=50.0)
    source.seconds = 0.07
    flown = flight(source, start_peer().address)
    report = summarise(flown)
    assert report["outcomes"]["result"] == report["frames"]
    assert 5 <= report["frames"] <= 14
    assert report["frames"] + report["skipped"] >= 39
    assert report["lag_ms"]["p50"] > 60
    assert flown.seconds < 1.5


def test_a_flight_ends_after_its_seconds(start_peer: Peers) -> None:
    """Of an endless world just the asked time is flown."""
    flown = flight(ScriptedSource(frames(10_000), rate=50.0), start_peer().address, seconds=0.5)
    assert 0.5 <= flown.seconds < 1.5
    assert len(flown.rows) + flown.skipped == pytest.approx(50 * flown.seconds, abs=2)


def test_a_flight_stops_when_told_to(start_peer: Peers) -> None:
    """Told to stop, it waits for what is in flight and returns what it has."""
    peer = start_peer()
    end = time.monotonic() + 0.3
    flown = flight(ScriptedSource(frames(10_000), rate=1.0), peer.address, stop=lambda: time.monotonic() > end)
    assert flown.interrupted
    assert settled(flown) == {1: "result"}
    assert time.monotonic() - end < 0.5


def test_requests_carry_what_was_asked(start_peer: Peers) -> None:
    """The asker's keys reach the server with every picture."""
    peer = start_peer()
    flight(ScriptedSource(frames(3)), peer.address, ask=lambda observation: {"model": f"m{observation.name}"})
    assert [request.model for request in peer.requests] == ["m0", "m1", "m2"]
