"""A dispatcher to hand frames to, and what became of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from quadfollow_core.request import Result, parse_request
from quadfollow_server.dispatch import Dispatcher
from quadfollow_server.jobs import Dropped, Job, Outcome
from quadfollow_server.metrics import Metrics
from quadfollow_server.models import Models
from quadfollow_server.segmenter import ConstantSegmenter
from quadfollow_server.settings import Settings

ANY = Settings(port=0, zmq_port=0, pub_port=0)
ONE_WORKER = Settings(port=0, zmq_port=0, pub_port=0, workers=1)
"""For tests in which one frame holds up all others."""
RAW = {"encoding": "raw-rgb8", "width": 2, "height": 2}


class Bench:
    """A dispatcher, and the outcomes it delivered in their order."""

    def __init__(self, *segmenters: ConstantSegmenter, **limits: int) -> None:
        self.metrics = Metrics()
        self.published: list[object] = []
        self.outcomes: dict[object, Outcome] = {}
        self.doubles: list[object] = []
        models = Models()
        if segmenters:
            models.install(segmenters)
        self.dispatcher = Dispatcher(models, self.metrics, Settings(**limits), self._publish)

    def submit(self, number: object, lane: str | None = None, *, newest_wins: bool = True, **header: Any) -> None:
        """Hand in one frame."""
        request = parse_request(RAW | {"id": number} | header, bytes(12))
        self.dispatcher.submit(
            Job(request, "test", lambda outcome: self.settle(number, outcome), lane, newest_wins and lane is not None)
        )

    async def until(self, *numbers: object) -> None:
        """Wait until these frames have met their outcome."""
        async with asyncio.timeout(60):
            while not self.outcomes.keys() >= set(numbers):
                await asyncio.sleep(0.001)

    @property
    def results(self) -> list[object]:
        """Ids of the frames that were answered, in order."""
        return [number for number, outcome in self.outcomes.items() if isinstance(outcome, Result)]

    def reason(self, number: object) -> str:
        """Why a frame was dropped."""
        outcome = self.outcomes[number]
        assert isinstance(outcome, Dropped)
        return outcome.reason

    def settle(self, number: object, outcome: Outcome) -> None:
        """Note what became of a frame; an error raised here, on the event loop, would only be logged."""
        if number in self.outcomes:
            self.doubles.append(number)
        self.outcomes.setdefault(number, outcome)

    def _publish(self, job: Job, result: Result) -> None:
        self.published.append((job.request.stream, result.body["id"]))


@asynccontextmanager
async def bench(*segmenters: ConstantSegmenter, **limits: int) -> AsyncIterator[Bench]:
    """Run a dispatcher for as long as the block lasts, of one worker unless told otherwise; no frame ends twice."""
    made = Bench(*segmenters, **({"workers": 1} | limits))
    made.dispatcher.start()
    try:
        yield made
    finally:
        await made.dispatcher.close(30)
    await asyncio.sleep(0)  # what a worker handed over last is delivered
    assert made.doubles == []


def run(scenario: Callable[[], Any]) -> None:
    """Play a scenario on an event loop."""
    asyncio.run(scenario())
