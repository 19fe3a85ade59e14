"""Which frame is looked at next, and what becomes of the others."""

from __future__ import annotations

import asyncio
import itertools
import time
import weakref
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from tests.server.dispatching import RAW, bench, run

from quadfollow_core.errors import NotFound, Overloaded, QuadfollowError, Unavailable
from quadfollow_core.request import parse_request
from quadfollow_server import dispatch, jobs
from quadfollow_server.jobs import Job
from quadfollow_server.segmenter import ConstantSegmenter


def test_an_answer_tells_how_long_the_frame_waited_and_was_held(constant: Any) -> None:
    """A result carries queue time, time held and the stream's drops."""

    async def scenario() -> None:
        async with bench(constant()) as it:
            it.submit(1, "a")
            await it.until(1)
            body = it.outcomes[1].body
            assert 0 <= body["timings"]["queue_ms"] <= body["held_ms"]
            assert body["dropped"] == 0
            assert it.published == [("", 1)]

    run(scenario)


def test_the_newest_frame_of_a_stream_wins(constant: Any, gate: Any) -> None:
    """Of the frames that arrive while one is worked on, only the newest is answered; the answer counts the others."""

    async def scenario() -> None:
        async with bench(constant(gate)) as it:
            it.submit(0, "a")
            await asyncio.to_thread(gate.wait_reached)
            for number in range(1, 6):
                it.submit(number, "a")
            assert [it.reason(number) for number in range(1, 5)] == ["superseded"] * 4
            gate.open()
            await it.until(0, 5)
            assert it.results == [0, 5]
            assert it.outcomes[5].body["dropped"] == 4

    run(scenario)


def test_all_that_is_gathered_competes_before_one_is_taken(constant: Any) -> None:
    """Frames handed in within one gathering leave only the newest, even for an idle worker."""

    async def scenario() -> None:
        async with bench(constant()) as it:
            with it.dispatcher.gathering():
                for number in range(10):
                    it.submit(number, "a")
            await it.until(*range(10))
            assert it.results == [9]

    run(scenario)


def test_frames_that_stand_alone_do_not_push_each_other_out(constant: Any, gate: Any) -> None:
    """Without newest-wins every frame is answered, also those of one named stream."""

    async def scenario() -> None:
        async with bench(constant(gate)) as it:
            for number in range(5):
                it.submit(number, "a", newest_wins=False)
                it.submit(f"alone {number}")
            gate.open()
            await it.until(*range(5), *(f"alone {number}" for number in range(5)))
            assert len(it.results) == 10
            assert len(it.published) == 5

    run(scenario)


def test_the_earliest_deadline_is_served_first(constant: Any, gate: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A near deadline goes before none; a far one is no reason to wait longer than a frame that has none."""
    monkeypatch.setattr(jobs, "PATIENCE", 3600.0)

    async def scenario() -> None:
        async with bench(constant(gate)) as it:
            it.submit("first")
            await asyncio.to_thread(gate.wait_reached)
            it.submit("far", deadline_ms=1e8)
            it.submit("none")
            it.submit("near", deadline_ms=60_000)
            gate.open()
            await it.until("far", "none", "near")
            assert it.results == ["first", "near", "far", "none"]

    run(scenario)


def test_a_newer_frame_keeps_its_streams_place(constant: Any, gate: Any) -> None:
    """A stream that sends often is not sent to the back each time."""

    async def scenario() -> None:
        async with bench(constant(gate)) as it:
            it.submit("first")
            await asyncio.to_thread(gate.wait_reached)
            it.submit("a1", "a")
            it.submit("b1", "b")
            it.submit("a2", "a")
            gate.open()
            await it.until("a2", "b1")
            assert it.results == ["first", "a2", "b1"]

    run(scenario)


def test_a_later_frame_overtakes_none_of_its_stream(constant: Any, gate: Any) -> None:
    """Where every frame is answered, a deadline hurries those of the stream that came before, and nobody else."""

    async def scenario() -> None:
        async with bench(constant(gate)) as it:
            it.submit("first")
            await asyncio.to_thread(gate.wait_reached)
            it.submit("other", "b", newest_wins=False)
            it.submit("a1", "a", newest_wins=False)
            it.submit("a2", "a", newest_wins=False)
            it.submit("a3", "a", newest_wins=False, deadline_ms=900)
            it.submit("a4", "a", newest_wins=False)
            gate.open()
            await it.until("other", "a1", "a2", "a3", "a4")
            answered = [number for number in it.outcomes if number != "first"]
            assert answered == ["a1", "a2", "a3", "other", "a4"]

    run(scenario)


def test_an_idle_worker_keeps_no_picture(constant: Any) -> None:
    """What a frame held is free once it is answered, not only when the next one comes."""

    async def scenario() -> None:
        async with bench(constant()) as it:
            picture = memoryview(bytes(12))
            kept = weakref.ref(picture)
            it.dispatcher.submit(Job(parse_request(RAW, picture), "test", partial(it.settle, 1)))
            del picture
            await it.until(1)
            async with asyncio.timeout(60):
                while kept() is not None:
                    await asyncio.sleep(0.01)

    run(scenario)


def test_a_frame_past_its_deadline_is_not_looked_at(constant: Any, gate: Any) -> None:
    """A frame whose deadline passes while it waits is dropped without inference."""
    looked = itertools.count()

    def pause() -> None:
        next(looked)
        gate()

    async def scenario() -> None:
        async with bench(constant(pause)) as it:
            it.submit("first")
            await asyncio.to_thread(gate.wait_reached)
            it.submit("late", deadline_ms=1)
            time.sleep(0.002)
            gate.open()
            await it.until("first", "late")
            assert it.reason("late") == "deadline"
            assert next(looked) == 1

    run(scenario)


def test_waiting_frames_are_limited(constant: Any, gate: Any) -> None:
    """One frame too many is refused as overload; a newer frame of a waiting stream still takes its place."""

    async def scenario() -> None:
        async with bench(constant(gate), max_waiting=2) as it:
            it.submit("first")
            await asyncio.to_thread(gate.wait_reached)
            it.submit("a", "a")
            it.submit("b")
            it.submit("too many")
            it.submit("newer a", "a")
            assert isinstance(it.outcomes["too many"], Overloaded)
            assert it.reason("a") == "superseded"
            gate.open()
            await it.until("newer a", "b")
            assert b"quadfollow_waiting 0.0" in it.metrics.text()

    run(scenario)


@pytest.mark.parametrize("header", [{}, {"deadline_ms": 120_000}])
def test_a_frame_waits_for_so_long_at_most(constant: Any, header: dict[str, Any]) -> None:
    """A frame that waited for longer than `queue_seconds` is dropped at its turn, whatever its own deadline."""

    async def scenario() -> None:
        async with bench(constant(), queue_seconds=59) as it:
            request = parse_request(RAW | {"id": "late"} | header, bytes(12))
            it.dispatcher.submit(Job(request, "test", partial(it.settle, "late"), received=time.monotonic() - 60))
            await it.until("late")
            assert it.reason("late") == "deadline"

    run(scenario)


def test_an_unexpected_failure_ends_one_frame_and_leaves_a_trace(
    constant: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A fault of ours is answered as an internal error, logged with its trace, and the next frame is answered."""
    failures = iter([ZeroDivisionError("a bug"), KeyError()])

    def pause() -> None:
        for failure in failures:
            raise failure

    async def scenario() -> None:
        async with bench(constant(pause)) as it:
            for number in range(3):
                it.submit(number)
            await it.until(0, 1, 2)
            assert [outcome.code for outcome in list(it.outcomes.values())[:2]] == ["error", "error"]
            assert "a bug" not in str(it.outcomes[0])
            assert it.results == [2]

    run(scenario)
    assert "ZeroDivisionError: a bug" in caplog.text


def test_models_are_found_by_name(constant: Any) -> None:
    """A frame is answered by the model it names; an unknown name is refused with the names there are."""

    async def scenario() -> None:
        async with bench(constant(), constant(name="other")) as it:
            it.submit(1, model="other")
            it.submit(2, model="nobody")
            await it.until(1, 2)
            assert it.outcomes[1].body["model"] == "other"
            assert isinstance(it.outcomes[2], NotFound)
            assert "constant, other" in str(it.outcomes[2])

    run(scenario)


def test_before_a_model_is_there_frames_are_refused() -> None:
    """While models load, frames are answered as not available yet."""

    async def scenario() -> None:
        async with bench() as it:
            it.submit(1)
            await it.until(1)
            assert isinstance(it.outcomes[1], Unavailable)

    run(scenario)


def test_closing_answers_the_running_frame_and_drops_the_waiting_ones(constant: Any, gate: Any) -> None:
    """On shutdown what runs is answered, what waits or comes later is dropped as such."""

    async def scenario() -> None:
        async with bench(constant(gate)) as it:
            it.submit("running")
            await asyncio.to_thread(gate.wait_reached)
            it.submit("waiting")
            closing = asyncio.create_task(it.dispatcher.close(30))
            await it.until("waiting")
            it.submit("later")
            gate.open()
            await closing
            assert it.reason("waiting") == it.reason("later") == "shutdown"
            assert it.results == ["running"]

    run(scenario)


def test_a_frame_that_outlasts_the_grace_is_dropped_once(constant: Any, gate: Any) -> None:
    """When inference hangs, closing ends all the same and its frame meets one outcome."""

    async def scenario() -> None:
        async with bench(constant(gate)) as it:
            it.submit("stuck")
            await asyncio.to_thread(gate.wait_reached)
            await it.dispatcher.close(0.01)
            assert it.reason("stuck") == "shutdown"
            gate.open()

    run(scenario)


def test_drops_are_remembered_for_a_limited_number_of_streams(constant: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams that dropped longest ago are forgotten first."""
    monkeypatch.setattr(dispatch, "MAX_STREAMS", 2)

    async def scenario() -> None:
        async with bench(constant()) as it:
            for lane in ("a", "b", "c"):
                with it.dispatcher.gathering():
                    it.submit(f"{lane}1", lane)
                    it.submit(f"{lane}2", lane)
                await it.until(f"{lane}2")
            for lane in ("a", "b", "c"):
                it.submit(f"{lane}3", lane)
            await it.until("a3", "b3", "c3")
            assert [it.outcomes[f"{lane}3"].body["dropped"] for lane in ("a", "b", "c")] == [0, 1, 1]

    run(scenario)


frames = st.tuples(st.sampled_from(["a", "b", None]), st.booleans(), st.sampled_from([None, 0.01, 1e6]))


@hypothesis_settings(deadline=None)  # it waits for a thread
@given(st.lists(st.lists(frames, min_size=1, max_size=8), max_size=4))
def test_every_frame_meets_exactly_one_outcome(bursts: list[list[tuple[str | None, bool, float | None]]]) -> None:
    """Whatever is handed in, in bursts, over streams and with deadlines: each frame has one fate, the newest too."""

    async def scenario() -> None:
        number = itertools.count()
        async with bench(ConstantSegmenter(np.zeros((2, 2), np.uint8)), max_waiting=4) as it:
            for burst in bursts:
                for lane, newest_wins, deadline in burst:
                    it.submit(next(number), lane, newest_wins=newest_wins, deadline_ms=deadline)
                await asyncio.sleep(0)
            await it.until(*range(next(number)))
            assert not any(type(outcome) is QuadfollowError for outcome in it.outcomes.values())

    run(scenario)
