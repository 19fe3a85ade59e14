"""Clocks and clients with which a flight's outcome does not depend on how fast the machine is."""

from __future__ import annotations

import bisect
import time
from typing import Any, ClassVar

import numpy as np

from quadfollow_core.stream_client import Fate, StreamClient
from quadfollow_sim.world import Observation

PATIENCE = 120.0
"""Seconds that anything is waited for that comes at once where all is well."""
MOMENT = 0.1
"""Seconds that a stall-free clock goes on at most between two looks at it."""
TICK = 1e-6
"""Seconds that a stepped clock moves by at least, lest its roundings leave it just short of a moment for ever."""
PROGRAM = f"""
from functools import partial
from quadfollow_core.cli import main
from quadfollow_sim import bridge, closed_loop, flight, mission
bridge.DRAIN = closed_loop.ANSWER_WITHIN = mission.TIMEOUT["lockstep"] = {PATIENCE}
flight.StreamClient = partial(flight.StreamClient, timeout={PATIENCE})
for module in (flight, mission):
    module.require_server = partial(module.require_server, seconds={PATIENCE})
main()
"""
"""The console command, flying by the real clock, but with patience for a server's answers."""


class SteppedClock:
    """Stands still until somebody moves it; takes the place of the module ``time``."""

    def __init__(self) -> None:
        self.now = time.monotonic()

    def monotonic(self) -> float:
        """Where it stands."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Move it on, waiting for nothing."""
        self.now += max(seconds, TICK) if seconds > 0 else 0.0

    time = staticmethod(time.time)


class SteppedCamera:
    """A camera that makes pictures at its own pace by a stepped clock, and keeps the newest."""

    def __init__(self, clock: SteppedClock, period: float, count: int, rate: float = 20.0) -> None:
        self.rate = rate
        self._clock = clock
        self._times = [clock.now + number * period for number in range(count)]
        self._gone = 0

    @property
    def waiting(self) -> float | None:
        """How old the newest one is that was not read."""
        came = self._came()
        if came > self._gone:
            return self._clock.now - self._times[came - 1]
        return 0.0 if came == len(self._times) else None

    @property
    def replaced(self) -> int:
        """How many came before it and were not read."""
        return max(0, self._came() - self._gone - 1)

    def read(self, skip: int = 0) -> Observation | None:
        """Return the newest one, waiting for it; None at the end."""
        if self._gone == len(self._times):
            return None
        self._clock.now = max(self._clock.now, self._times[self._gone])
        self._gone = self._came()
        return Observation(np.zeros((32, 32, 3), dtype=np.uint8), str(self._gone - 1), self._times[self._gone - 1])

    def close(self) -> None:
        """Nothing to give back."""

    def _came(self) -> int:
        return bisect.bisect_right(self._times, self._clock.now)


class StallFreeClock:
    """The real clock without the machine's stalls: between two looks at it no more than a moment goes by."""

    def __init__(self) -> None:
        self._now = self._looked = time.monotonic()

    def monotonic(self) -> float:
        """Seconds without the stalls."""
        looked, self._looked = self._looked, time.monotonic()
        self._now += min(self._looked - looked, MOMENT)
        return self._now

    sleep = staticmethod(time.sleep)
    time = staticmethod(time.time)


class PatientClient(StreamClient):
    """Gives up on a server only after a long while."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options | {"timeout": PATIENCE})

    def ping(self, timeout: float = PATIENCE) -> bool:
        """Ask with patience."""
        return super().ping(max(timeout, PATIENCE))


class ClientInStep(StreamClient):
    """Moves a stepped clock by what it waits; an answer takes ``service`` seconds by it, however long in truth."""

    clock: ClassVar[SteppedClock]
    service: float | None = 0.0
    """None where the server is not going to answer."""
    patience = PATIENCE
    """Real seconds for an answer and for a pong."""

    def poll(self, timeout: float = 0.0) -> list[Fate]:
        """The fates known by the clock's new time."""
        due = [] if self.service is None else [sent.sent + self.service for sent in self._in_flight.values()]
        if due and min(due) > self.clock.now + timeout:
            self.clock.sleep(timeout)
            return []  # the answer may be here, but it isn't due
        if not due:
            self.clock.sleep(timeout)
            return super().poll()
        self.clock.now = max(self.clock.now, min(due))
        fates, end = super().poll(), time.monotonic() + self.patience
        while all(fate.outcome == "unsent" for fate in fates):
            assert time.monotonic() < end, "the server does not answer"
            time.sleep(0.001)
            fates += super().poll()
        return fates

    def ping(self, timeout: float = 1.0) -> bool:
        """Ask with patience."""
        return super().ping(self.patience)
