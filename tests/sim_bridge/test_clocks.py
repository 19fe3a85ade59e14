"""The closed loop's clocks: what the real one counts and leaves out, and whom the lockstep waits for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.sim_bridge.conftest import Peer, by_colour
from tests.sim_bridge.unhurried import ClientInStep, SteppedClock
from tests.sim_bridge.walks import RATE, fly, moved, walk

from quadfollow_core.request import FrameRequest, Result
from quadfollow_core.stream_client import Fate
from quadfollow_sim import closed_loop
from quadfollow_sim.closed_loop import ANSWER_WITHIN, SILENT_WITHIN, ClosedLoop
from quadfollow_sim.eyes import Arm, LocalEyes, NetworkEyes
from quadfollow_sim.orders.door import OrdersDoor
from quadfollow_sim.paper import PaperSpace
from quadfollow_sim.pilot import Pilot
from quadfollow_sim.world import Observation


def test_by_the_real_clock_a_world_that_is_older_goes_on_at_once() -> None:
    """Its clock need not begin with the flight: no two pictures are of one moment."""
    world = PaperSpace(walk)
    world.advance(5.0)
    times = [step.time for step in fly(LocalEyes("truth"), 1.0, world=world, clock="real").steps]
    assert times[0] >= 5.0
    assert len(set(times)) == len(times) > 1


@pytest.mark.parametrize("arm", ["truth", "blind"])
def test_by_the_real_clock_the_world_goes_on(arm: Arm) -> None:
    """A second of the world takes a second, and every picture that was taken has a step."""
    start = time.monotonic()
    sortie = fly(LocalEyes(arm), 1.0, clock="real")
    assert time.monotonic() - start > 0.95
    assert sortie.seconds >= 1.0
    assert len(sortie.steps) + sortie.skipped <= 1 + RATE * sortie.seconds
    assert all(step.latency_ms is not None and step.latency_ms >= 0 for step in sortie.steps)


@pytest.mark.parametrize("arm", ["truth", "blind"])
def test_by_the_real_clock_a_quick_loop_leaves_nothing_out(clock: SteppedClock, arm: Arm) -> None:
    """Where nothing takes any time a second of the world takes just that, with all of its pictures."""
    start = clock.now
    sortie = fly(LocalEyes(arm), 1.0, clock="real")
    assert clock.now - start == pytest.approx(1.0, abs=1 / RATE)
    assert sortie.seconds == pytest.approx(1.0, abs=1 / RATE)
    assert (len(sortie.steps), sortie.skipped) == (pytest.approx(RATE, abs=1), 0)


class Slow(PaperSpace):
    """A world that takes 120 ms to draw."""

    def capture(self) -> Observation:
        """Draw slowly."""
        time.sleep(0.12)
        return super().capture()


def test_by_the_real_clock_lateness_is_counted() -> None:
    """Pictures that could not be taken in time are skipped, and the delay is part of the latency."""
    sortie = fly(LocalEyes("truth"), 1.5, world=Slow(walk), clock="real")
    assert sortie.skipped >= len(sortie.steps)
    assert min(step.latency_ms or 0.0 for step in sortie.steps) >= 120


class Stalling(LocalEyes):
    """Eyes in which the loop is stuck for a while, once."""

    def __init__(self, clock: SteppedClock, at: int, seconds: float) -> None:
        super().__init__("truth")
        self._clock, self._at, self._seconds = clock, at, seconds

    def poll(self, timeout: float) -> list[Fate]:
        """Hand over what is known, late once."""
        fates = super().poll(timeout)
        if any(fate.id == self._at for fate in fates):
            self._clock.sleep(self._seconds)
        return fates


@pytest.mark.parametrize(("stall", "braking"), [(3.0, "no fresh answer"), (0.3, None)])
def test_a_stall_is_not_flown_through_blindly(clock: SteppedClock, stall: float, braking: str | None) -> None:
    """By the real clock, the vehicle that is not looked after for 3 s has braked 0.5 s after its last picture.

    One of 0.3 s is flown through as ever.
    """
    flown = fly(Stalling(clock, 40, stall), 6.0, clock="real")
    before = next(step for step in reversed(flown.steps) if step.time < 2.0)
    after = next(step for step in flown.steps if step.time > before.time + stall - 1 / RATE)
    assert before.speed > 1.0, "control: it flew"
    reach = before.speed * min(stall, 0.5 + 1 / RATE)
    assert reach / 2 < moved(after, before) < reach + (0.8 if braking else 0.2)
    assert (after.speed < 0.1) == (braking is not None)
    assert flown.skipped == pytest.approx(stall * RATE, abs=1)


def refusing(number: int) -> Callable[[FrameRequest], Result]:
    """Answers that are all given but one."""

    def answer(request: FrameRequest) -> Result:
        if request.id != number:
            return by_colour(request)
        return Result({"type": "error", "id": request.id, "code": "bad-image", "detail": "no picture"})

    return answer


def test_one_refusal_does_not_end_the_lockstep(
    in_step: type[ClientInStep], start_peer: Callable[..., Peer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server slower than a silent one is waited for goes on to be waited for: somebody answers."""
    monkeypatch.setattr(closed_loop, "time", in_step.clock)
    in_step.service = 0.15
    with in_step(start_peer(refusing(5)).address) as client:
        outcomes = [step.outcome for step in fly(NetworkEyes(client), 2.0).steps]
    assert outcomes == ["result"] * 4 + ["error"] + ["result"] * 35


class Waking(LocalEyes):
    """Eyes that answer after 140 ms of the clock, but the pictures of the first second not at all."""

    def __init__(self, clock: SteppedClock) -> None:
        super().__init__("truth")
        self._clock = clock
        self._due: list[tuple[float, Fate]] = []

    def offer(self, observation: Observation) -> int:
        """Look at a picture."""
        number = super().offer(observation)
        fate = self._fates.pop()
        if observation.captured >= 1.0:
            self._due.append((self._clock.now + 0.14, fate))
        return number

    def poll(self, timeout: float) -> list[Fate]:
        """Wait for the next answer."""
        if not (self._due and self._due[0][0] <= self._clock.now + timeout):
            self._clock.sleep(timeout)
            return []
        when, fate = self._due.pop(0)
        self._clock.now = max(self._clock.now, when)
        return [fate]


def test_silence_ends_the_lockstep_until_somebody_answers(clock: SteppedClock) -> None:
    """Nobody answering, the world flies on; from the first answer on each picture's is waited for again."""
    began = clock.now
    outcomes = [step.outcome for step in fly(Waking(clock), 4.0).steps]
    assert outcomes == ["lost"] * 20 + ["result"] * 60
    waited = ANSWER_WITHIN + 22 * SILENT_WITHIN + 57 * 0.14 + closed_loop.SILENCE
    assert clock.now - began == pytest.approx(waited, abs=0.01)


class Late(LocalEyes):
    """Eyes that tell a picture's fate when the next one is taken."""

    def offer(self, observation: Observation) -> int:
        """Keep this one's fate back."""
        self._fates, before = [], self._fates
        number = super().offer(observation)
        self._fates, self._held = before + getattr(self, "_held", []), self._fates
        return number


class Touching(PaperSpace):
    """A world whose vehicle touches a person before the flight and a tree in it."""

    def advance(self, time: float) -> None:
        """Note what is touched on the way."""
        super().advance(time)
        self.collisions = tuple(kind for kind, when in (("person", 0.4), ("tree", 1.6)) if self.time >= when)


class Arming(OrdersDoor):
    """Gives its own order to arm after a second."""

    def attend(self, craft: Any, timeout: float = 0.0, *, late: bool = False) -> None:
        """Arm."""
        if craft.mode == "disarmed" and craft.status()["time"] > 1.0:
            craft.order("arm")


def test_what_was_before_the_order_is_not_in_the_report(clock: SteppedClock) -> None:
    """By the real clock it looks about while it waits: touches and pictures of that time are no part of the flight."""
    world = Touching(walk)
    with Arming("tcp://127.0.0.1:*") as door:
        loop = ClosedLoop(world, Late("truth"), Pilot(1 / RATE), rate=RATE, door=door)
        flown = loop.fly(1.0, "real", until_armed=True)
    (order,) = flown.orders
    assert flown.collisions == ("tree",)
    assert world.collisions == ("person", "tree")
    assert order["time"] <= flown.steps[0].time < order["time"] + 2 / RATE
    assert len(flown.steps) == pytest.approx(RATE, abs=2)
