"""When each picture is due by the real clock, and how late one is."""

from __future__ import annotations

import time


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
        return max(0.0, self._number * self._period - self.elapsed())

    def tick(self) -> int:
        """Go on to the next picture and return how many were missed on the way."""
        missed = max(0, int((self.elapsed() - self._number * self._period) / self._period))
        self._number += missed + 1
        return missed

    def lag(self) -> float:
        """Seconds since the picture of the last tick was due."""
        return self.elapsed() - (self._number - 1) * self._period
