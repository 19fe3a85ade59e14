"""When each picture is due by the real clock, and how late one is."""

from __future__ import annotations

import bisect
import time
from collections.abc import Sequence

from quadfollow_sim.world import FrameSource, Live, Timed

SLICE = 0.002
"""Seconds between two looks at whether a picture came."""


class Pace:
    """Counts pictures at a rate, from now on."""

    def __init__(self, rate: float) -> None:
        self._period = 1 / rate
        self._start = time.monotonic()
        self._number = 0

    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._start

    def past(self, seconds: float | None) -> bool:
        """Whether so many seconds are over; None for never."""
        return seconds is not None and self.elapsed() >= seconds

    def until_due(self) -> float:
        """Seconds until the next picture is due."""
        return max(0.0, self.due(self._number) - self.elapsed())

    def tick(self) -> int:
        """Go on to the next picture and return how many were missed on the way."""
        missed = max(0, self._missed(self.elapsed(), self._number))
        self._number += missed + 1
        return missed

    def lag(self) -> float:
        """Seconds since the picture of the last tick was due."""
        return self.elapsed() - self.due(self._number - 1)

    def due(self, number: int) -> float:
        """Seconds from the start at which a picture is due."""
        return number * self._period

    def _missed(self, elapsed: float, number: int) -> int:
        """How many pictures after this one are due too."""
        return int((elapsed - number * self._period) / self._period)


class Timetable(Pace):
    """Counts pictures that have times of their own, from now on.

    Args:
        times: seconds at which they are due, counted from the first, never falling.
        again: seconds after which they begin anew; None if they don't.
    """

    def __init__(self, times: Sequence[float], again: float | None = None) -> None:
        super().__init__(1.0)
        self._times = times
        self._again = again

    def due(self, number: int) -> float:
        """Seconds from the start at which a picture is due."""
        if self._again is None:
            return self._times[min(number, len(self._times) - 1)]
        rounds, place = divmod(number, len(self._times))
        return rounds * self._again + self._times[place]

    def _missed(self, elapsed: float, number: int) -> int:
        rounds, rest = (0.0, elapsed) if self._again is None else divmod(elapsed, self._again)
        return int(rounds) * len(self._times) + bisect.bisect_right(self._times, rest) - 1 - number


class Visits(Pace):
    """Counts pictures that come when they come, and are due at once but for the rate.

    A turn for which no picture came was not missed, and none is later than it has been there.
    """

    def __init__(self, rate: float, source: Live) -> None:
        super().__init__(rate)
        self._source = source
        self._came = 0.0

    def until_due(self) -> float:
        """Seconds until the next picture is due; until the next look, while none is there."""
        left = super().until_due()
        return SLICE if left == 0 and self._source.waiting is None else left

    def tick(self) -> int:
        """Go on to the picture that is there and return how many were missed on the way."""
        self._came = self.elapsed() - (self._source.waiting or 0.0)
        return min(super().tick(), self._source.replaced)

    def lag(self) -> float:
        """Seconds since the picture of the last tick was both due and there."""
        return min(super().lag(), self.elapsed() - self._came)


def clock_of(source: FrameSource) -> Pace:
    """The clock by which a world goes by, from now on."""
    if isinstance(source, Timed):
        return Timetable(source.times, source.again)
    return Visits(source.rate, source) if isinstance(source, Live) else Pace(source.rate)
