"""The closed loop: picture, answer, pilot, command, and on.

In lockstep the world waits for every answer, so a flight is the same whatever the machine's speed, and latency is only
measured. By the real clock the world goes on meanwhile: an answer steers from the moment it is there, and pictures for
which the loop comes too late are skipped and counted; so much time is flown in steps of a picture's at most, the pilot
commanding after each, so that it brakes once its answer is stale. A world that paces itself sends its pictures when it
likes, and the newest is looked at once the last was answered. All times that steer are the world's.

An operator's orders are looked at before each picture, and at least ten times a second by the real clock.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Literal

from quadfollow_core.errors import BadInput
from quadfollow_core.stream_client import Fate
from quadfollow_sim.airspace import Airspace, SelfPaced
from quadfollow_sim.answers import legible
from quadfollow_sim.craft import Craft, Steersman
from quadfollow_sim.eyes import Eyes
from quadfollow_sim.judge import Witness
from quadfollow_sim.orders.door import OrdersDoor
from quadfollow_sim.pace import Pace
from quadfollow_sim.sortie import Recorder, Sortie, Taken
from quadfollow_sim.vehicle import Brake

ClockName = Literal["lockstep", "real"]
ANSWER_WITHIN = 5.0
"""Seconds of the real clock for which lockstep waits for an answer, while somebody answers."""
SILENT_WITHIN = 0.05
"""The same once nobody did: the world flies on without, as it would beside the real clock."""
GIVE_UP = 10.0
"""Seconds of the world's clock without any answer after which a flight ends."""
SILENCE = 0.5
"""The same after which, at the end of a flight, it is asked whether anybody is still there."""
UNANSWERED = ("unsent", "lost")
"""Outcomes of pictures that nobody answered; an error is an answer, too."""
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
        door: where an operator's orders come in; it stays open. None: nobody gives any.
    """

    def __init__(
        self,
        world: Airspace,
        eyes: Eyes,
        pilot: Steersman,
        *,
        rate: float,
        witnesses: tuple[Witness, ...] = (),
        door: OrdersDoor | None = None,
    ) -> None:
        self._world = world
        self._eyes = eyes
        self._craft = Craft(world, pilot, door)
        self._sortie = Sortie(rate)
        self._recorder = Recorder(self._sortie, witnesses)
        self._unanswered_since: float | None = None
        self._wait = ANSWER_WITHIN
        self._begun = 0.0
        """The world's time when the real clock's began to count."""

    def fly(
        self,
        seconds: float | None,
        clock: ClockName = "lockstep",
        stop: Stop = lambda: False,
        *,
        until_armed: bool = False,
    ) -> Sortie:
        """Fly until ``seconds`` of the world's clock are over, ``stop`` or an abort ends it, or nobody answers.

        However it ends, the last command is to brake.

        Args:
            seconds: length of the flight; None for as long as it goes on, which takes the real clock or a world
                that paces itself.
            clock: whether the world waits for answers; of no consequence where it paces itself.
            stop: ends the flight once it says so.
            until_armed: whether the flight begins with the order that arms the pilot. Until then, in lockstep the world
                stands still; by the real clock it goes on, and the vehicle hovers and looks.

        Raises:
            BadInput: the flight is to begin with an order, and there is no door for any; or it has no end in lockstep.
        """
        if self._waits(clock) and (seconds is None or not math.isfinite(seconds)):
            raise BadInput(f"a flight in lockstep takes a length in seconds, got {seconds}")
        if until_armed and not self._craft.takes_orders:
            raise BadInput("a flight that begins with an order needs a door for orders")
        pace, self._begun = Pace(self._sortie.rate), self._world.time
        try:
            return self._fly(seconds, clock, stop, pace, until_armed=until_armed)
        finally:
            self._world.command(Brake("the flight is over"))

    def _fly(self, seconds: float | None, clock: ClockName, stop: Stop, pace: Pace, *, until_armed: bool) -> Sortie:
        self._craft.attend(late=True)
        armed = not until_armed or self._is_armed(clock, pace, stop)
        begun, touched = self._world.time, len(self._world.collisions)
        end = math.inf if seconds is None else begun + seconds
        if armed and self._waits(clock):
            self._in_lockstep(begun, round((end - begun) * self._sortie.rate), stop)
        elif armed:
            self._beside_the_real_clock(pace, _either(stop, lambda: self._world.time >= end))
        self._drain()
        self._sortie.steps.sort(key=lambda step: step.time)  # by the real clock fates come in another order
        self._sortie.interrupted = stop()
        self._sortie.aborted, self._sortie.orders = self._craft.is_aborted, self._craft.orders
        self._sortie.seconds = self._world.time - begun
        self._sortie.collisions = self._world.collisions[touched:]
        self._sortie.server_gone = self._gone() or (self._silent(SILENCE) and not self._eyes.answers())
        return self._sortie

    def _is_armed(self, clock: ClockName, pace: Pace, stop: Stop) -> bool:
        """Wait for the order that arms the pilot, recording nothing; False where something else ended that."""
        over = _either(stop, lambda: self._craft.mode != "disarmed")
        self._recorder.recording = False
        if self._waits(clock):
            while not over():
                self._craft.attend(PATIENCE)
        else:
            self._beside_the_real_clock(pace, over)
        self._recorder.recording = self._craft.mode not in ("disarmed", "aborted")
        return self._recorder.recording

    def _waits(self, clock: ClockName) -> bool:
        """Whether the world waits for answers."""
        return clock == "lockstep" and not isinstance(self._world, SelfPaced)

    def _in_lockstep(self, begun: float, pictures: int, stop: Stop) -> None:
        for number in range(pictures):
            self._world.advance(begun + number / self._sortie.rate)
            self._craft.attend()
            self._settle(self._wait_for(self._look()))
            if stop() or self._is_over():
                return

    def _wait_for(self, number: int) -> list[Fate]:
        """The fates up to that of one picture, or those known when patience ends."""
        fates, end = self._eyes.poll(0.0), time.monotonic() + self._wait
        while all(fate.id != number for fate in fates) and time.monotonic() < end:
            fates += self._eyes.poll(end - time.monotonic())
        answered = any(fate.outcome not in UNANSWERED for fate in fates)
        self._wait = ANSWER_WITHIN if answered else SILENT_WITHIN
        return fates

    def _beside_the_real_clock(self, pace: Pace, stop: Stop) -> None:
        if isinstance(self._world, SelfPaced):
            self._at_its_own_pace(self._world, stop)
            return
        while not (stop() or self._is_over()):
            fates = self._eyes.poll(min(pace.until_due(), PATIENCE))
            self._go_on(self._begun + pace.elapsed())
            self._craft.attend()
            self._settle(fates)
            if pace.until_due() == 0:
                missed = pace.tick()
                self._sortie.skipped += missed if self._recorder.recording else 0
                self._look(pace.lag())

    def _go_on(self, until: float) -> None:
        """Let the world fly on, however long since, with the pilot at work all the while."""
        since = self._world.time
        steps = math.ceil((until - since) * self._sortie.rate)
        for step in range(1, steps):
            self._world.advance(since + (until - since) * step / steps)
            self._craft.command()
        self._world.advance(until)

    def _at_its_own_pace(self, pictures: SelfPaced, stop: Stop) -> None:
        """Look at the newest picture whenever the last one's fate is known."""
        before = pictures.skipped
        while not (stop() or self._is_over() or pictures.over):
            fates = self._eyes.poll(PATIENCE) if self._recorder.open else []
            self._craft.attend()
            self._settle(fates)
            if self._recorder.open:
                continue
            if pictures.wait(PATIENCE):
                self._look()
        self._sortie.skipped += pictures.skipped - before if self._recorder.recording else 0

    def _drain(self) -> None:
        """Wait briefly for the last pictures' fates; what has none by then is lost."""
        end = time.monotonic() + SILENCE
        while self._recorder.open and (left := end - time.monotonic()) > 0:
            self._settle(self._eyes.poll(left))
        self._settle([Fate(number, "lost", 0.0) for number in self._recorder.open])

    def _look(self, lag: float = 0.0) -> int:
        """Take a picture, ``lag`` seconds late, offer it and return its number."""
        began, now = time.monotonic(), self._world.time
        observation, own = self._world.capture(), self._world.own
        waited = max(0.0, now - observation.captured)
        if self._unanswered_since is None:
            self._unanswered_since = observation.captured
        number = self._eyes.offer(observation)
        self._recorder.take(number, Taken(observation, own, began - waited, lag, self._recorder.recording))
        return number

    def _settle(self, fates: list[Fate]) -> None:
        """Let the pilot hear what was answered, command, and note both; no command waits for a mask to be read."""
        fates = [legible(fate, mask=False) for fate in fates]
        for fate in fates:
            if fate.outcome not in UNANSWERED:
                self._unanswered_since = None
            if fate.track is not None:
                self._craft.hear(fate.track, self._recorder.captured(fate))
        command = self._craft.command()
        for fate in fates:
            self._recorder.settle(fate, command)

    def _is_over(self) -> bool:
        return self._gone() or self._craft.has_stopped

    def _gone(self) -> bool:
        return self._silent(GIVE_UP)

    def _silent(self, seconds: float) -> bool:
        """Whether somebody was asked and did not answer for so long."""
        since = self._unanswered_since
        return since is not None and self._world.time - since > seconds


def _either(one: Stop, other: Stop) -> Stop:
    return lambda: one() or other()
