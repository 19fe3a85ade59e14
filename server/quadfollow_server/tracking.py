"""The tracks of all streams that asked for one."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from functools import partial
from threading import Lock

from quadfollow_core.measure import depth_step
from quadfollow_core.track import Look, Track, Tracker
from quadfollow_core.trackers import make_tracker
from quadfollow_core.types import Sighting
from quadfollow_server.jobs import Job
from quadfollow_server.pipeline import Follow


@dataclass(slots=True)
class _Stream:
    tracker: Tracker
    heard: float


class Tracks:
    """One track per client and stream; from any thread.

    Args:
        tracker: which one each stream gets, by its name.
        silence: seconds without a frame after which a stream is forgotten, by the clock of ``now``.
        most: streams kept; beyond it the one that was silent longest is forgotten.
    """

    def __init__(self, tracker: str, *, silence: float = 30.0, most: int = 4096) -> None:
        self._tracker = tracker
        self._silence = silence
        self._most = most
        self._streams: OrderedDict[Hashable, _Stream] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._streams)

    def prepare(self, job: Job) -> None:
        """Forget the target of a stream that asked for it, whatever becomes of the frame that asked."""
        if job.reset_track:
            self.reset(job.lane)

    def follower(self, job: Job) -> Follow | None:
        """What follows the target of the frame's stream; None where no track is wanted, or no stream named."""
        if job.lane is None or "track" not in job.request.want:
            return None
        return partial(self._follow, job)

    def update(self, lane: Hashable, look: Look, now: float) -> Track:
        """Take in one frame of a stream.

        Args:
            lane: the stream, such as (client, stream).
            look: what the frame showed, with the stream's own time.
            now: seconds on one clock for all streams (``time.monotonic()``), only to tell who fell silent.
        """
        with self._lock:
            stream = self._streams.pop(lane, None)
            self._forget_silent(now)
            if stream is None or now - stream.heard > self._silence:
                stream = _Stream(make_tracker(self._tracker), now)
            stream.heard = now
            self._streams[lane] = stream
            return stream.tracker.update(look)

    def reset(self, lane: Hashable) -> None:
        """Forget a stream's target; its next frame starts anew."""
        with self._lock:
            self._streams.pop(lane, None)

    def _follow(self, job: Job, sighting: Sighting) -> Track:
        request = job.request
        time = job.received if request.captured_at is None else request.captured_at
        look = Look(sighting, time, request.camera, depth_step(request.depth))
        return self.update(job.lane, look, now=job.received)

    def _forget_silent(self, now: float) -> None:
        """Drop from the front, where those lie that were heard longest ago."""
        while self._streams:
            lane, stream = next(iter(self._streams.items()))
            if now - stream.heard <= self._silence and len(self._streams) < self._most:
                return
            del self._streams[lane]
