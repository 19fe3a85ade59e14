"""What the live view shows, and to whom: made for lookers-on, so that no answer waits for them.

While nobody looks, an answer costs one look at an empty set. While somebody does, the newest answer that a viewer has
not had is kept by reference. A viewer asks for a picture when it has drawn the last one, so a slow one gets fewer and
never old ones. Pictures are made in a thread beside the event loop, one at a time, and leave one at a time with a pause
between two: however many look, the live view takes a bounded share of the machine.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from quadfollow_core.errors import Overloaded
from quadfollow_core.request import Result
from quadfollow_server.jobs import Job
from quadfollow_server.metrics import Metrics
from quadfollow_server.preview import Preview

UNNAMED = "(unnamed)"
"""How the stream without a name is called."""
MAX_STREAMS = 64
"""Streams that can be chosen at most, beside those that are looked at."""
FORGOTTEN = 30.0
"""Seconds of silence after which a stream can no longer be chosen."""
TAKEN_OVER = 1.0
"""Seconds of silence after which another client's frames are shown under the same name."""
OLD = 5.0
"""Seconds after which a picture is no longer news to anybody."""
GAP = 1 / 200
"""Least seconds between two pictures, whoever they are for."""
BANDWIDTH = 10e6
"""Bytes per second of all pictures together."""
SHARE = 0.1
"""Most of one core's time that making pictures may take."""


@dataclass(slots=True, eq=False)
class Viewer:
    """Somebody who looks on."""

    stream: str | None = None
    """Whom it looks at; None for whoever comes first."""
    newest: Preview | None = None
    """What was answered last of what it looks at, until it is shown that; all that is kept of any frame."""
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def watches(self, stream: str) -> bool:
        """Whether it looks at this stream."""
        return self.stream in (None, stream)


@dataclass(slots=True)
class _Stream:
    """One stream as far as it was seen while somebody looks."""

    lane: Hashable
    heard: float = 0.0
    number: int = 0


class LiveView:
    """Shows answered frames to viewers, from the event loop alone.

    Args:
        metrics: told how many look, and each picture.
        max_viewers: how many may look at once.
    """

    def __init__(self, metrics: Metrics, max_viewers: int) -> None:
        self._metrics = metrics
        self._max_viewers = max_viewers
        self._viewers: set[Viewer] = set()
        self._streams: dict[str, _Stream] = {}
        self._turn = asyncio.Lock()
        self._free_at = 0.0
        self._made: tuple[Preview, bytes] | None = None
        metrics.viewers.set_function(lambda: self.watching)

    @property
    def watching(self) -> int:
        """How many look now."""
        return len(self._viewers)

    @property
    def streams(self) -> list[str]:
        """The streams that can be chosen."""
        now = time.monotonic()
        return sorted(name for name, stream in self._streams.items() if now - stream.heard < FORGOTTEN)

    @contextmanager
    def viewer(self) -> Iterator[Viewer]:
        """Look on for as long as the block lasts.

        Raises:
            Overloaded: all places are taken.
        """
        if len(self._viewers) >= self._max_viewers:
            raise Overloaded(
                f"all {self._max_viewers} places of the live view are taken",
                limit="max_viewers",
                allowed=self._max_viewers,
            )
        viewer = Viewer()
        self._viewers.add(viewer)
        try:
            yield viewer
        finally:
            self._viewers.discard(viewer)
            if not self._viewers:
                self._streams.clear()
                self._made = None

    def show(self, job: Job, result: Result) -> None:
        """Take note of an answer, if anybody looks."""
        if self._viewers:
            self._note(job, result)

    async def next(self, viewer: Viewer, patience: float) -> bytes | None:
        """Wait for the viewer's next picture, and for its turn; None when none came within ``patience`` seconds."""
        if self._news_for(viewer) is None:
            viewer.news.clear()
            try:
                async with asyncio.timeout(patience):  # wait_for would go on where it is cancelled just as news comes
                    await viewer.news.wait()
            except TimeoutError:
                return None
        async with self._turn:
            await asyncio.sleep(self._free_at - time.monotonic())
            preview = self._news_for(viewer)
            if preview is None:
                return None
            viewer.newest = None
            making = asyncio.create_task(self._message(preview))
            try:
                return await asyncio.shield(making)
            finally:  # who leaves meanwhile has the turn until the thread has ended, and its cost is counted
                await making

    def _news_for(self, viewer: Viewer) -> Preview | None:
        """The newest picture that the viewer has not had, while it is news; what is none any more is let go."""
        newest = viewer.newest
        if newest and (not viewer.watches(newest.stream) or time.monotonic() - newest.answered_at > OLD):
            viewer.newest = None
        return viewer.newest

    async def _message(self, preview: Preview) -> bytes:
        """Make a picture's message, in a thread, unless it was the last one made; note when the next may leave."""
        cost = 0.0
        if self._made is None or self._made[0] is not preview:
            message, cost = await asyncio.to_thread(_make, preview, self.streams)
            self._made = preview, message
        message = self._made[1]
        self._free_at = time.monotonic() + max(GAP, len(message) / BANDWIDTH, cost / SHARE)
        self._metrics.show()
        return message

    def _note(self, job: Job, result: Result) -> None:
        now = time.monotonic()
        name = job.request.stream or UNNAMED
        stream = self._find(name, job.lane, now)
        if stream is None:
            return
        stream.heard = now
        stream.number += 1
        preview = Preview(name, stream.number, now, job.request, result)
        for viewer in self._viewers:
            if viewer.watches(name):
                viewer.newest = preview
                viewer.news.set()

    def _find(self, name: str, lane: Hashable, now: float) -> _Stream | None:
        """The stream shown under a name; None where another client's frames are shown under it, or no room is left."""
        stream = self._streams.get(name)
        if stream is not None and stream.lane != lane and now - stream.heard > TAKEN_OVER:
            stream.lane = lane
        if stream is not None:
            return stream if stream.lane == lane else None
        self._streams = {key: known for key, known in self._streams.items() if now - known.heard < FORGOTTEN}
        if len(self._streams) >= MAX_STREAMS and all(viewer.stream != name for viewer in self._viewers):
            return None
        return self._streams.setdefault(name, _Stream(lane))


def _make(preview: Preview, streams: Sequence[str]) -> tuple[bytes, float]:
    """Make a message and tell the processor seconds that it took."""
    began = time.thread_time()
    message = preview.message(streams)
    return message, time.thread_time() - began
