"""Times of recorded pictures: from those in a file to those at which they are shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from quadfollow_core.errors import BadInput

SHORTEST = 1e-3
"""Seconds at least between the last picture and the first, when they begin anew."""


@dataclass(frozen=True, slots=True)
class Timing:
    """When pictures are due, seconds since the first."""

    times: tuple[float, ...]
    period: float
    """Typical seconds between two of them."""

    @property
    def rate(self) -> float:
        """Pictures per second, typically."""
        return 1 / self.period

    @property
    def length(self) -> float:
        """Seconds until they may begin anew."""
        return self.times[-1] + self.period


def timing(stamps: Sequence[float], speed: float) -> Timing:
    """Make a timing of the times of capture, seconds; one that lies before its predecessor counts as simultaneous.

    Raises:
        BadInput: ``speed`` is not above zero.
    """
    if not speed > 0:
        raise BadInput(f"--speed must be above zero, got {speed}")
    times, last = [], stamps[0]
    for stamp in stamps:
        last = max(last, stamp)
        times.append((last - stamps[0]) / speed)
    count = len(times) - 1
    period = times[-1] / count if count else 1.0
    return Timing(tuple(times), max(period, SHORTEST))
