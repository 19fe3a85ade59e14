"""A frame on its way through the server, and what can become of it."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Literal

from quadfollow_core.errors import QuadfollowError, Unavailable
from quadfollow_core.request import FrameRequest, Result

log = logging.getLogger(__name__)

PATIENCE = 1.0
"""Seconds after which a frame is as urgent as one whose deadline is now, if its own is not sooner: nobody starves."""
NO_MEMORY = "the server has not enough memory for this frame now: send smaller ones, or lower its --max-pixels"
INTERNAL = "internal error: the server's log has its trace"

Reason = Literal["superseded", "deadline", "shutdown", "gone"]


@dataclass(frozen=True, slots=True)
class Dropped:
    """A frame that was not looked at, and why."""

    reason: Reason
    held_ms: float


Outcome = Result | Dropped | QuadfollowError


def as_known(error: Exception, what: str) -> QuadfollowError:
    """Return a deliberate error as it is; log any other with its trace and return one that tells nothing of it."""
    if isinstance(error, QuadfollowError):
        return error
    if isinstance(error, MemoryError):
        log.error("%s failed: there is not enough memory", what)
        return Unavailable(NO_MEMORY)
    log.error("%s failed", what, exc_info=error)
    return QuadfollowError(INTERNAL)


@dataclass(slots=True, eq=False)
class Job:
    """One frame on its way through the server; ``deliver`` is called on the event loop, exactly once."""

    request: FrameRequest
    door: str
    deliver: Callable[[Outcome], None]
    lane: Hashable = None
    """The stream of one client, such as (client, stream); None for a frame that stands alone."""
    newest_wins: bool = False
    """Whether a newer frame of the lane takes this one's place."""
    client: Hashable = None
    """Whose share of the waiting places it takes; None for a frame that is limited only with all others."""
    overlay: bool = False
    received: float = field(default_factory=time.monotonic)
    urgency: float = field(init=False)
    """Monotonic time to be served by; the earliest is served first."""
    reset_track: bool = field(init=False)
    """Whether this frame, or one whose place it took, asked to forget the stream's target."""
    settled: bool = field(default=False, init=False)
    """Whether its outcome was delivered."""

    def __post_init__(self) -> None:
        deadline = self.request.deadline_ms
        self.reset_track = self.request.reset_track and self.lane is not None
        self.urgency = self.received + min(PATIENCE, math.inf if deadline is None else deadline / 1000)

    @property
    def slot(self) -> Hashable:
        """Where this frame waits."""
        return self.lane if self.newest_wins else self

    @property
    def held_ms(self) -> float:
        """Milliseconds since its receipt."""
        return round(1000 * (time.monotonic() - self.received), 3)

    @property
    def size(self) -> int:
        """Bytes of its pictures."""
        return len(self.request.image) + len(self.request.depth_data or b"")

    def expired(self, queue_seconds: float) -> bool:
        """Whether its deadline, or the longest time that any frame may wait, has passed."""
        deadline = self.request.deadline_ms
        return self.held_ms > min(1000 * queue_seconds, math.inf if deadline is None else deadline)
