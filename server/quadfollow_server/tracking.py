"""The tracks of all streams that asked for one."""

from __future__ import annotations

from functools import partial
from threading import Lock

from quadfollow_core.measure import depth_step
from quadfollow_core.track import Look, Track
from quadfollow_core.trackers import TrackBook
from quadfollow_core.types import Sighting
from quadfollow_server.jobs import Job
from quadfollow_server.pipeline import Follow


class Tracks:
    """One track per client and stream; from any thread.

    Args:
        tracker: which one each stream gets, by its name.
    """

    def __init__(self, tracker: str) -> None:
        self._book = TrackBook(tracker)
        self._lock = Lock()

    def prepare(self, job: Job) -> None:
        """Forget the target of a stream that asked for it, whatever becomes of the frame that asked."""
        if job.reset_track:
            with self._lock:
                self._book.reset(job.lane)

    def follower(self, job: Job) -> Follow | None:
        """What follows the target of the frame's stream; None where no track is wanted, or no stream named."""
        if job.lane is None or "track" not in job.request.want:
            return None
        return partial(self._follow, job)

    def _follow(self, job: Job, sighting: Sighting) -> Track:
        request = job.request
        time = job.received if request.captured_at is None else request.captured_at
        look = Look(sighting, time, request.camera, depth_step(request.depth))
        with self._lock:
            return self._book.update(job.lane, look, now=job.received)
