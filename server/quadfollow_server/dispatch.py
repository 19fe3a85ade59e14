"""A few workers between the doors' event loop and the models.

Frames wait in slots. A stream that wants its newest frame has one slot: a newer frame takes the place of the one
that waits there, which is dropped. So no queue grows, whatever a client does, and every frame handed in meets
exactly one outcome.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager, suppress

from quadfollow_core.errors import Overloaded
from quadfollow_core.request import Result
from quadfollow_server.frame_log import tell_frame, tell_outcome
from quadfollow_server.jobs import Dropped, Job, Outcome, Reason, as_known
from quadfollow_server.metrics import Metrics
from quadfollow_server.models import Models
from quadfollow_server.pipeline import process
from quadfollow_server.room import Room, require_room
from quadfollow_server.settings import Settings
from quadfollow_server.tracking import Tracks

MAX_STREAMS = 4096
"""Streams whose drops are remembered: those that dropped last."""
TURN_SECONDS = 0.25
"""Longest time for which an idle worker shows no sign of life."""

Publish = Callable[[Job, Result], None]
Trace = Callable[[Job, Outcome], None]


class Dispatcher:
    """Takes frames on the event loop, has them answered on its workers' threads, and delivers on the event loop.

    No two frames of a stream are worked on at the same time, so a stream's answers keep the order of its frames.

    Args:
        models: where a frame's model is looked up.
        metrics: told each frame's outcome.
        settings: gives ``max_waiting`` and ``max_waiting_bytes``, both also per client, ``queue_seconds``,
            ``max_pixels``, ``tracker`` and ``at_once``.
        publish: each is given every result that belongs to a stream, once its client has it.
        trace: given every frame's outcome, once its client has it; None where nobody traces.
    """

    def __init__(
        self, models: Models, metrics: Metrics, settings: Settings, *publish: Publish, trace: Trace | None = None
    ) -> None:
        self._models = models
        self._metrics = metrics
        self._settings = settings
        self._publish = publish
        self._trace = trace
        self._tracks = Tracks(settings.tracker)
        self.room = Room(settings.max_waiting_bytes, settings.max_waiting_bytes_per_client)
        """What the bodies of waiting requests may hold; the HTTP door's, being received, count too."""
        self._waiting: dict[Hashable, Job] = {}
        self._waiting_of: Counter[Hashable] = Counter()
        self._running: set[Job] = set()
        self._state = threading.RLock()
        self._closing = False
        self._ends = 0
        self._turned = dict.fromkeys(range(settings.at_once), time.monotonic())
        self._bells = [threading.Condition(self._state) for _ in self._turned]
        self._idle: dict[int, threading.Condition] = {}
        """The bells of workers that wait for a frame; the last to begin to is rung first, its caches being warm."""
        self._drops: OrderedDict[Hashable, int] = OrderedDict()
        metrics.waiting.set_function(lambda: len(self._waiting))
        metrics.waiting_bytes.set_function(lambda: self.room.held)

    @property
    def turned(self) -> float:
        """When the worker last heard of showed that it goes on; inside a call that never returns, it does not."""
        return min(self._turned.values())

    def start(self) -> None:
        """Start the workers; call it on the event loop."""
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        for worker in self._turned:
            name = f"quadfollow-inference-{worker}"
            threading.Thread(target=self._work, args=(worker,), name=name, daemon=True).start()

    def gathering(self) -> AbstractContextManager[object]:
        """A block until whose end no worker takes anything, so that all that has arrived competes."""
        return self._state

    def submit(self, job: Job) -> None:
        """Take a frame; what becomes of it is delivered, refusals too."""
        tell_frame("received", job, bytes=job.size)
        with self._state:
            if self._closing:
                return self._drop(job, "shutdown")
            older = self._waiting.get(job.slot)
            try:
                self._admit(job, older)
            except Overloaded as error:
                return self._deliver(job, error)
            if older is not None:
                job.urgency = min(job.urgency, older.urgency)  # the place in the queue is the stream's
                job.reset_track = job.reset_track or older.reset_track
            elif job.lane is not None and not job.newest_wins:
                self._hurry(job)
            self._waiting[job.slot] = job
            self._ring()
        if older is not None:
            self._drop(older, "superseded")
        return None

    def _admit(self, job: Job, older: Job | None) -> None:
        """Give a frame a place, that of an older one where there is one.

        Raises:
            Overloaded: there is none.
        """
        settings = self._settings
        if older is None:
            require_room("max_waiting", settings.max_waiting, len(self._waiting))
            if job.client is not None:
                most, waiting = settings.max_waiting_per_client, self._waiting_of[job.client]
                require_room("max_waiting_per_client", most, waiting)
        self.room.take(job.size, job.client, instead_of=0 if older is None else older.size)
        if older is None:
            self._waiting_of[job.client] += 1

    def _hurry(self, job: Job) -> None:
        """Let what waits of a frame's stream be as urgent as the frame, which must not overtake it."""
        for other in self._waiting.values():
            if other.lane == job.lane:
                other.urgency = min(other.urgency, job.urgency)

    def _leave(self, job: Job) -> None:
        """Take a frame from those that wait."""
        del self._waiting[job.slot]
        self.room.give(job.size, job.client)
        self._waiting_of[job.client] -= 1
        if not self._waiting_of[job.client]:
            del self._waiting_of[job.client]

    def withdraw(self, job: Job) -> None:
        """Drop a frame that nobody waits for any more; one that no longer waits goes its way."""
        with self._state:
            if self._waiting.get(job.slot) is not job:
                return
            self._leave(job)
            self._tracks.prepare(job)
        self._drop(job, "gone")

    async def close(self, seconds: float) -> None:
        """Drop what waits and take no more; give frames being worked on so many seconds to be answered."""
        with self._state:
            self._closing = True
            waiting, self._waiting = list(self._waiting.values()), {}
            while self._idle:
                self._ring()
        for job in waiting:
            self.room.give(job.size, job.client)
            self._drop(job, "shutdown")
        with suppress(TimeoutError):
            await asyncio.wait_for(self._ended.wait(), seconds)
        for job in tuple(self._running):
            self._drop(job, "shutdown")

    def _work(self, worker: int) -> None:
        while (job := self._take(worker)) is not None:
            self._on_loop(self._deliver, job, self._answer(job))
            self._finish(job)
            del job  # an idle worker holds no picture
        with self._state:
            self._ends += 1
            is_last = self._ends == len(self._turned)
        if is_last:
            self._on_loop(self._ended.set)

    def _take(self, worker: int) -> Job | None:
        """Wait for frames and take the most urgent one whose stream is free; None when it is all over."""
        with self._state:
            self._turned[worker] = time.monotonic()
            while not (self._closing or (job := self._most_urgent())):
                self._idle.setdefault(worker, self._bells[worker]).wait(TURN_SECONDS)
                self._turned[worker] = time.monotonic()
            self._idle.pop(worker, None)
            if self._closing or job is None:
                return None
            self._running.add(job)
            self._leave(job)
            return job

    def _ring(self) -> None:
        """Wake one worker that waits, if any does."""
        if self._idle:
            self._idle.popitem()[1].notify()

    def _most_urgent(self) -> Job | None:
        """Of those that are as urgent the first to come; no frame is more urgent than an earlier one of its stream."""
        busy = {job.lane for job in self._running} - {None}
        free = (job for job in self._waiting.values() if job.lane not in busy)
        return min(free, key=lambda job: job.urgency, default=None)

    def _finish(self, job: Job) -> None:
        """Let the frame's stream go on: whoever takes a frame next may take one of it."""
        with self._state:
            self._running.discard(job)

    def _is_alone(self) -> bool:
        return len(self._running) == 1

    def _answer(self, job: Job) -> Outcome:
        queued_ms = job.held_ms
        tell_frame("begun", job, queue_ms=queued_ms)
        self._tracks.prepare(job)
        if job.expired(self._settings.queue_seconds):
            return Dropped("deadline", queued_ms)
        try:
            segmenter = self._models.get(job.request.model)
            result = process(
                job.request,
                segmenter,
                max_pixels=self._settings.max_pixels,
                overlay=job.overlay,
                follow=self._tracks.follower(job),
                alone=self._is_alone,
            )
        except Exception as error:  # noqa: BLE001  a frame that cannot be answered must not end the worker
            return as_known(error, f"frame {job.request.id!r} from {job.door}")
        result.body["timings"] = {"queue_ms": queued_ms} | result.body["timings"]
        return result

    def _on_loop(self, function: Callable[..., None], *arguments: object) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(function, *arguments)

    def _drop(self, job: Job, reason: Reason) -> None:
        self._deliver(job, Dropped(reason, job.held_ms))

    def _deliver(self, job: Job, outcome: Outcome) -> None:
        if job.settled:
            return
        job.settled = True
        match outcome:
            case Result():
                outcome.body.update(held_ms=job.held_ms, dropped=self._drops.get(job.lane, 0))
            case Dropped():
                self._remember_drop(job.lane)
        job.deliver(outcome)
        self._loop.call_soon(self._record, job, outcome)  # behind what the delivery itself has set going

    def _record(self, job: Job, outcome: Outcome) -> None:
        """Tell everybody else of an outcome, now that its client has it."""
        self._metrics.tell(job.door, outcome)
        tell_outcome(job, outcome)
        if self._trace is not None:
            self._trace(job, outcome)
        if isinstance(outcome, Result) and job.lane is not None:
            for publish in self._publish:
                publish(job, outcome)

    def _remember_drop(self, lane: Hashable) -> None:
        if lane is not None:
            self._drops[lane] = self._drops.pop(lane, 0) + 1
            if len(self._drops) > MAX_STREAMS:
                self._drops.popitem(last=False)
