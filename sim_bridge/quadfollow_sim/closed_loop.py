"""The closed loop: picture, answer, pilot, command, and on.

In lockstep the world waits for every answer, so a flight is the same whatever the machine's speed, and latency is only
measured. By the real clock the world goes on meanwhile: an answer steers from the moment it is there, and pictures for
which the loop comes too late are skipped and counted. All times that steer are the world's.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

from quadfollow_core.stream_client import Fate
from quadfollow_sim.airspace import Airspace
from quadfollow_sim.eyes import Eyes
from quadfollow_sim.pace import Pace
from quadfollow_sim.pilot import Pilot
from quadfollow_sim.sortie import Recorder, Sortie, Taken, Witness
from quadfollow_sim.vehicle import Steering

ClockName = Literal["lockstep", "real"]
ANSWER_WITHIN = 5.0
"""Seconds of the real clock for which lockstep waits for an answer, while answers come."""
SILENT_WITHIN = 0.05
"""The same once one did not come: the world flies on without, as it would beside the real clock."""
GIVE_UP = 10.0
"""Seconds of the world's clock without any answer after which a flight ends."""
SILENCE = 0.5
"""The same after which, at the end of a flight, it is asked whether anybody is still there."""
PATIENCE = 0.1
"""Seconds between two looks at whether to stop, while nothing is due."""

Stop = Callable[[], bool]


class ClosedLoop:
    """One flight of one vehicle behind one pair of eyes.

    Args:
        world: where; it stays open.
        eyes: what looks at the pictures.
        pilot: already armed, if the vehicle is to move.
        rate: pictures per second of the world's clock.
        witnesses: called with every picture whose fate is known.
    """

    def __init__(
        self, world: Airspace, eyes: Eyes, pilot: Pilot, *, rate: float, witnesses: tuple[Witness, ...] = ()
    ) -> None:
        self._world = world
        self._eyes = eyes
        self._pilot = pilot
        self._sortie = Sortie(rate)
        self._recorder = Recorder(self._sortie, witnesses)
        self._answered = 0.0
        self._wait = ANSWER_WITHIN

    def fly(self, seconds: float, clock: ClockName = "lockstep", stop: Stop = lambda: False) -> Sortie:
        """Fly until ``seconds`` of the world's clock are over, ``stop`` says so, or nobody answers any more."""
        over = stop if clock == "lockstep" else _either(stop, lambda: self._world.time >= seconds)
        if clock == "lockstep":
            self._in_lockstep(round(seconds * self._sortie.rate), over)
        else:
            self._beside_the_real_clock(over)
        self._drain()
        self._sortie.interrupted = stop()
        self._sortie.seconds = self._world.time
        self._sortie.collisions = self._world.collisions
        self._sortie.server_gone = self._gone() or (self._silent(SILENCE) and not self._eyes.answers())
        return self._sortie

    def _in_lockstep(self, pictures: int, stop: Stop) -> None:
        for number in range(pictures):
            self._world.advance(number / self._sortie.rate)
            self._settle(self._wait_for(self._look()))
            if stop() or self._gone():
                return

    def _wait_for(self, number: int) -> list[Fate]:
        """The fates up to that of one picture, or those known when patience ends."""
        fates, end = self._eyes.poll(0.0), time.monotonic() + self._wait
        while all(fate.id != number for fate in fates) and time.monotonic() < end:
            fates += self._eyes.poll(end - time.monotonic())
        in_time = any(fate.id == number and fate.outcome == "result" for fate in fates)
        self._wait = ANSWER_WITHIN if in_time else SILENT_WITHIN
        return fates

    def _beside_the_real_clock(self, stop: Stop) -> None:
        pace = Pace(self._sortie.rate)
        while not (stop() or self._gone()):
            fates = self._eyes.poll(min(pace.until_due(), PATIENCE))
            self._world.advance(pace.elapsed())
            self._settle(fates)
            if pace.until_due() == 0:
                self._sortie.skipped += pace.tick()
                self._look(pace.lag())

    def _drain(self) -> None:
        """Wait briefly for the last pictures' fates; what has none by then is lost."""
        end = time.monotonic() + SILENCE
        while self._recorder.open and (left := end - time.monotonic()) > 0:
            self._settle(self._eyes.poll(left))
        self._settle([Fate(number, "lost", 0.0) for number in self._recorder.open])

    def _look(self, lag: float = 0.0) -> int:
        """Take a picture, ``lag`` seconds late, offer it and return its number."""
        began = time.monotonic()
        observation, own = self._world.capture(), self._world.own
        number = self._eyes.offer(observation)
        self._recorder.take(number, Taken(observation, own, began, lag))
        return number

    def _settle(self, fates: list[Fate]) -> None:
        """Let the pilot hear what was answered, command, and note both."""
        now = self._world.time
        for fate in fates:
            if fate.track is not None:
                self._answered = now
                self._pilot.hear(fate.track, self._recorder.captured(fate), now)
        command = self._command()
        for fate in fates:
            self._recorder.settle(fate, command)

    def _command(self) -> Steering:
        command = self._pilot.command(self._world.own, self._world.time)
        self._world.command(command)
        return command

    def _gone(self) -> bool:
        return self._silent(GIVE_UP)

    def _silent(self, seconds: float) -> bool:
        """Whether no answer came for so long."""
        return self._world.time - self._answered > seconds


def _either(one: Stop, other: Stop) -> Stop:
    return lambda: one() or other()
