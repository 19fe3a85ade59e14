"""The loop between a world and a server: pictures go out at the world's pace, every one meets one fate.

Read :func:`fly` from top to bottom. The pace is the real clock's: a world that is late is not waited for, the
pictures it missed are skipped and counted, and how late each one was stands in its row. A camera's pictures go out as
they come.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from quadfollow_core.errors import ServerGone
from quadfollow_core.stream_client import Fate, StreamClient
from quadfollow_sim.answers import legible
from quadfollow_sim.judge import Row, Witness, judge
from quadfollow_sim.pace import Pace, clock_of
from quadfollow_sim.world import FrameSource, Observation, known_fields

DRAIN = 3.0
"""Seconds that the last frames are given to be answered."""
PATIENCE = 0.1
"""Seconds between two looks at whether to stop, while nothing is due."""
Asker = Callable[[Observation], dict[str, Any]]
"""Says what a picture's request asks for, in the header's words."""
Lens = Callable[[Observation], Observation]


@dataclass(slots=True)
class Flight:
    """What a flight left behind: a row per offered frame, in the order their fates became known."""

    rate: float
    rows: list[Row] = field(default_factory=list)
    skipped: int = 0
    """Pictures passed over for a newer one, because the loop came too late for them."""
    seconds: float = 0.0
    interrupted: bool = False
    server_gone: bool = False


def require_server(client: StreamClient, seconds: float = 2.0) -> None:
    """Make sure that somebody answers.

    Raises:
        ServerGone: no answer to a ping within ``seconds``; the message names the address.
    """
    if not client.ping(seconds):
        raise ServerGone(
            f"no quadfollow server answers at {client.address}: start one with `quadfollow serve`, "
            "or let `quadfollow demo` start its own; one that asks for keys needs QUADFOLLOW_KEY_FILE"
        )


def fly(
    source: FrameSource,
    client: StreamClient,
    *,
    seconds: float | None = None,
    through: Lens = lambda observation: observation,
    ask: Asker = lambda observation: {},
    witnesses: tuple[Witness, ...] = (),
    stop: Callable[[], bool] = lambda: False,
) -> Flight:
    """Stream a world to a server until the world ends, ``seconds`` are over or ``stop`` says so.

    Args:
        source: the world; it stays open.
        client: a connection to a server that answers.
        seconds: length of the flight by the real clock; None to go on to the world's end.
        through: what a picture is before it is offered and shown to witnesses, such as one whose camera is known.
        ask: what to put into a picture's request, such as ``want`` and ``model``.
        witnesses: called with every row as its fate becomes known.
        stop: asked between two frames; True ends the flight, and what is in flight is still waited for.
    """
    clock = clock_of(source)
    log = _Log(Flight(source.rate), clock, witnesses)
    while not stop() and not clock.past(seconds):
        log.settle(client.poll(min(clock.until_due(), PATIENCE)))
        if clock.until_due() > 0:
            continue
        skip = clock.tick()
        observation = source.read(skip)
        if observation is None:
            break
        log.flight.skipped += skip
        observation = through(observation)
        request = ask(observation) | known_fields(observation)
        log.offered(client.offer(observation.image, captured=observation.captured, **request), observation)
    log.flight.interrupted = stop()
    log.drain(client)
    return log.flight


@dataclass(slots=True)
class _Pending:
    """An offered frame whose fate is not known yet."""

    observation: Observation
    offered_s: float
    lag_ms: float
    age_ms: float | None


class _Log:
    """Keeps what is in flight (a frame or two) and turns fates into rows."""

    def __init__(self, flight: Flight, clock: Pace, witnesses: tuple[Witness, ...]) -> None:
        self.flight = flight
        self._clock = clock
        self._witnesses = witnesses
        self._pending: dict[int, _Pending] = {}
        self._newest: float | None = None

    def offered(self, number: int, observation: Observation) -> None:
        age = None if self._newest is None else 1000 * (time.monotonic() - self._newest)
        self._pending[number] = _Pending(observation, self._clock.elapsed(), 1000 * self._clock.lag(), age)

    def settle(self, fates: list[Fate]) -> None:
        for fate in map(legible, fates):
            pending = self._pending.pop(fate.id)
            seen = pending.observation
            if fate.outcome == "result":
                self._newest = max(self._newest or 0.0, seen.captured)
            row = judge(fate, seen, offered_s=pending.offered_s, lag_ms=pending.lag_ms, age_ms=pending.age_ms)
            self.flight.rows.append(row)
            for witness in self._witnesses:
                witness(row, seen, fate)

    def drain(self, client: StreamClient) -> None:
        """Wait for the last frames' fates; what has none by then counts as lost."""
        self.flight.seconds = self._clock.elapsed()
        end = time.monotonic() + DRAIN
        while self._pending and time.monotonic() < end:
            self.settle(client.poll(0.05))
        unknown = sorted(self._pending)
        reason = {"reason": "no answer before the flight ended"}
        self.settle([Fate(number, "lost", 0.0, reason) for number in unknown])
        if self.flight.rows and self.flight.rows[-1].outcome == "lost":
            self.flight.server_gone = not client.ping(1.0)
