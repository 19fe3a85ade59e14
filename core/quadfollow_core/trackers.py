"""The trackers to choose from, and a book that keeps one per stream."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass

from quadfollow_core.centroid_tracker import CentroidTracker
from quadfollow_core.errors import BadInput
from quadfollow_core.kalman_tracker import KalmanTracker
from quadfollow_core.track import Look, Track, Tracker

TRACKERS: Mapping[str, Callable[[], Tracker]] = {"kalman": KalmanTracker, "centroid": CentroidTracker}
"""``centroid`` is the baseline."""


def make_tracker(name: str = "kalman") -> Tracker:
    """Make a tracker by its name, ``kalman`` or ``centroid``.

    Raises:
        BadInput: there is no such tracker.
    """
    if name not in TRACKERS:
        raise BadInput(f"there is no tracker {name!r}: use {' or '.join(TRACKERS)}")
    return TRACKERS[name]()


@dataclass(slots=True)
class _Entry:
    tracker: Tracker
    heard: float


class TrackBook:
    """The tracks of many streams, each under its key; from one thread.

    Args:
        name: which tracker each stream gets.
        silence: seconds without a frame after which a stream is forgotten, by the clock of ``now``.
        most: streams kept; beyond it the one that was silent longest is forgotten.
    """

    def __init__(self, name: str = "kalman", *, silence: float = 30.0, most: int = 4096) -> None:
        if not (silence > 0 and most >= 1):
            raise BadInput(f"a track book needs silence above zero and room for one, got {silence}, {most}")
        make_tracker(name)
        self._name = name
        self._silence = silence
        self._most = most
        self._streams: OrderedDict[Hashable, _Entry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._streams)

    def update(self, key: Hashable, look: Look, now: float) -> Track:
        """Take in one frame of a stream.

        Args:
            key: the stream, such as (client, stream).
            look: what the frame showed, with the stream's own time.
            now: seconds on one clock for all streams (``time.monotonic()``), only to tell who fell silent.
        """
        entry = self._streams.pop(key, None)
        self._forget_silent(now)
        if entry is None or now - entry.heard > self._silence:
            entry = _Entry(make_tracker(self._name), now)
        entry.heard = now
        self._streams[key] = entry
        return entry.tracker.update(look)

    def reset(self, key: Hashable) -> None:
        """Forget a stream's target; its next frame starts anew."""
        self._streams.pop(key, None)

    def _forget_silent(self, now: float) -> None:
        """Drop from the front, where those lie that were heard longest ago."""
        while self._streams:
            key, entry = next(iter(self._streams.items()))
            if now - entry.heard <= self._silence and len(self._streams) < self._most:
                return
            del self._streams[key]
