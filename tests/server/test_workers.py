"""Several workers of one dispatcher: which frames they take, and how they share the cores."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tests.server.dispatching import bench, run

from quadfollow_server import dispatch
from quadfollow_server.segmenter import ConstantSegmenter, Plane


def test_workers_take_frames_of_different_streams_and_never_two_of_one(constant: Any, gate: Any) -> None:
    """Two workers hold frames of two streams at once; its next frame waits, a lone frame does not."""

    async def scenario() -> None:
        async with bench(constant(gate), workers=3) as it:
            it.submit("a1", "a")
            it.submit("b1", "b")
            for _ in range(2):
                await asyncio.to_thread(gate.wait_reached)
            it.submit("a2", "a", deadline_ms=10_000)
            it.submit("lone")
            await asyncio.to_thread(gate.wait_reached)
            it.submit("a3", "a")
            await it.until("a2")
            assert it.reason("a2") == "superseded"
            gate.open()
            await it.until("a1", "b1", "lone", "a3")
            assert it.results.index("a1") < it.results.index("a3")

    run(scenario)


def test_a_frame_has_all_cores_while_no_other_is_worked_on(gate: Any) -> None:
    """A frame is told at inference whether it is alone: the first one is, one beside it is not, one after both is."""
    told: list[bool] = []

    class Listening(ConstantSegmenter):
        def segment(self, image: NDArray[np.uint8], *, alone: bool = True) -> tuple[Plane, Plane]:
            told.append(alone)
            return super().segment(image, alone=alone)

    async def scenario() -> None:
        async with bench(Listening(np.zeros((8, 8), np.uint8), pause=gate), workers=2) as it:
            for number in range(2):
                it.submit(number, f"stream {number}")
                await asyncio.to_thread(gate.wait_reached)
            gate.open()
            await it.until(0, 1)
            async with asyncio.timeout(60):
                while it.dispatcher._running:  # a worker is at a frame for a little longer than its client waits
                    await asyncio.sleep(0.001)
            it.submit(2, "stream 2")
            await it.until(2)

    run(scenario)
    assert told == [True, False, True]


def test_no_worker_sleeps_through_frames_that_come_together(constant: Any, gate: Any, monkeypatch: Any) -> None:
    """Frames handed in at once are all taken at once, as many as there are workers; nobody waits for a turn to end."""
    monkeypatch.setattr(dispatch, "TURN_SECONDS", 600.0)

    async def scenario() -> None:
        async with bench(constant(gate), workers=3) as it:
            for batch in range(3):
                with it.dispatcher.gathering():
                    for number in range(3):
                        it.submit(f"{batch} {number}", f"stream {number}")
                for _ in range(3):
                    await asyncio.to_thread(gate.wait_reached)
                gate.open()
                await it.until(*(f"{batch} {number}" for number in range(3)))
                gate.shut()

    run(scenario)


def test_a_hanging_worker_is_noticed_though_another_goes_on(constant: Any, gate: Any) -> None:
    """The dispatcher counts as hanging from the moment its slowest worker was last heard of."""

    async def scenario() -> None:
        async with bench(constant(gate), workers=2) as it:
            it.submit("stuck")
            await asyncio.to_thread(gate.wait_reached)
            stuck_since = time.monotonic()
            await asyncio.sleep(3 * dispatch.TURN_SECONDS)
            assert it.dispatcher.turned <= stuck_since
            gate.open()
            await it.until("stuck")
            async with asyncio.timeout(60):
                while it.dispatcher.turned <= stuck_since:
                    await asyncio.sleep(0.01)

    run(scenario)
