"""The closed loop over a world of paper: what follows, what must not, and what the clocks do."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.sim_bridge.conftest import Peer, by_colour
from tests.sim_bridge.unhurried import ClientInStep, SteppedClock
from tests.sim_bridge.walks import walk

from quadfollow_core.errors import BadInput
from quadfollow_core.request import FrameRequest, Result
from quadfollow_core.stream_client import Fate
from quadfollow_sim import closed_loop, eyes, pace, sortie
from quadfollow_sim.airspace import Airspace
from quadfollow_sim.closed_loop import ANSWER_WITHIN, GIVE_UP, SILENT_WITHIN, ClosedLoop
from quadfollow_sim.eyes import Arm, LocalEyes, NetworkEyes
from quadfollow_sim.measures import distance_between, measure_sortie
from quadfollow_sim.orders.door import OrdersDoor
from quadfollow_sim.paper import PaperSpace
from quadfollow_sim.pilot import Pilot
from quadfollow_sim.sortie import Sortie, Step
from quadfollow_sim.world import Observation

RATE = 20.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SteppedClock:
    """The real clock of a flight, which moves by what the flight waits and by nothing else."""
    stepped = SteppedClock()
    for module in (closed_loop, eyes, pace, sortie):
        monkeypatch.setattr(module, "time", stepped)
    return stepped


def fly(eyes: Any, seconds: float = 12.0, *, world: Any = None, order: str = "arm", **options: Any) -> Sortie:
    """A flight over paper."""
    pilot = Pilot(1 / RATE)
    pilot.order(order)  # type: ignore[arg-type]
    space: Airspace = PaperSpace(walk) if world is None else world
    return ClosedLoop(space, eyes, pilot, rate=RATE).fly(seconds, **options)


class Fickle(LocalEyes):
    """Eyes that answer for some pictures alone; the others are lost."""

    def __init__(self, until: float = math.inf, delay: int = 0) -> None:
        super().__init__("truth")
        self.until = until
        self._delay = delay
        self._held: list[Fate] = []
        self._times: dict[int, float] = {}

    def offer(self, observation: Observation) -> int:
        """Note when the picture was taken."""
        number = super().offer(observation)
        self._times[number] = observation.captured
        return number

    def poll(self, timeout: float) -> list[Fate]:
        """Tell fates late, and lose those after the end."""
        self._held += super().poll(0.0)
        ready = self._held[: max(0, len(self._held) - self._delay)]
        del self._held[: len(ready)]
        known = [fate if self._times[fate.id] < self.until else Fate(fate.id, "lost", 0.0) for fate in ready]
        if not known:
            time.sleep(max(0.0, min(timeout, 0.001)))
        return known

    def answers(self) -> bool:
        """Not after the end."""
        return math.isinf(self.until)


def moved(step: Step, start: Step) -> float:
    """Metres from the start."""
    return math.dist(step.position, start.position)


def test_the_truth_is_followed() -> None:
    """With a perfect mask the target stays in view, well placed, at the distance asked for."""
    sortie = fly(LocalEyes("truth"))
    measures = measure_sortie(sortie)
    assert measures["in_view"] > 0.98
    assert measures["position_error_m"] < 0.15
    assert measures["losses"] == 0
    distances = [distance_between(step) for step in sortie.steps[100:]]
    assert all(distance is not None and 2.0 < distance < 4.2 for distance in distances)


def test_the_baseline_follows_too() -> None:
    """The old rule holds a lone target in plain view."""
    assert measure_sortie(fly(LocalEyes("truth", tracker="centroid")))["in_view"] > 0.9


def test_blind_eyes_move_nothing() -> None:
    """Nothing is ever seen, so nothing is flown but a turn on the spot."""
    sortie = fly(LocalEyes("blind"))
    assert max(moved(step, sortie.steps[0]) for step in sortie.steps) < 0.05
    assert measure_sortie(sortie)["position_error_m"] is None


def test_mirrored_eyes_do_not_follow() -> None:
    """Left and right swapped, the target is lost soon."""
    measures = measure_sortie(fly(LocalEyes("mirrored"), 20.0))
    assert measures["in_view"] < 0.6
    assert measures["losses"] >= 1


@pytest.mark.parametrize("order", ["hold", "disarm", "abort"])
def test_who_is_not_armed_does_not_fly(order: str) -> None:
    """However well the target is seen."""
    sortie = fly(LocalEyes("truth"), 3.0, order=order)
    assert {step.braking for step in sortie.steps} == {"aborted" if order == "abort" else "disarmed"}
    assert moved(sortie.steps[-1], sortie.steps[0]) == 0


def test_lockstep_repeats_itself() -> None:
    """Two flights are the same but for what the real clock measured."""
    one, other = (fly(LocalEyes("truth"), 4.0).steps for _ in range(2))
    assert [replace(step, latency_ms=None) for step in one] == [replace(step, latency_ms=None) for step in other]
    assert len(one) == 80


def test_without_answers_it_brakes_and_hovers() -> None:
    """Half a second after the last answer, give or take a picture, there is a brake; then it stands still."""
    sortie = fly(Fickle(until=6.0), 10.0)
    braked = next(step.time for step in sortie.steps if step.time > 5.9 and step.braking is not None)
    assert braked - 6.0 <= 0.5 + 1 / RATE
    assert all(step.braking == "no fresh answer" for step in sortie.steps if step.time >= braked)
    assert all(step.speed < 0.1 for step in sortie.steps if step.time > braked + 1.5)
    assert sortie.server_gone


def test_stale_answers_never_steer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers that come twelve pictures late, 0.6 s, move nothing."""
    monkeypatch.setattr(closed_loop, "ANSWER_WITHIN", SILENT_WITHIN)  # none is worth waiting for
    sortie = fly(Fickle(delay=12), 3.0)
    assert len(sortie.steps) > 40
    assert {step.braking for step in sortie.steps} == {"no fresh answer"}


def test_a_flight_without_answers_ends() -> None:
    """Nobody answering for long ends the flight, and says so."""
    sortie = fly(Fickle(until=2.0), 60.0)
    assert sortie.seconds == pytest.approx(2.0 + GIVE_UP, abs=0.3)
    assert sortie.server_gone


class Refusing(LocalEyes):
    """Eyes to which every picture is an error, as to a server without the model asked for."""

    def poll(self, timeout: float) -> list[Fate]:
        """Tell errors."""
        return [
            Fate(fate.id, "error", fate.age, {"code": "not-found", "detail": "no such model"})
            for fate in super().poll(timeout)
        ]


def test_errors_are_answers_and_their_reason_is_told() -> None:
    """A server that refuses every picture is there; the flight hovers to its end and says why it saw nothing."""
    sortie = fly(Refusing("truth"), GIVE_UP + 2.0)
    measures = measure_sortie(sortie)
    assert not sortie.server_gone
    assert sortie.seconds == pytest.approx(GIVE_UP + 2.0, abs=0.1)
    assert measures["reasons"] == {"no such model": len(sortie.steps)}
    assert {step.braking for step in sortie.steps} == {"no fresh answer"}


@pytest.mark.parametrize("fails", [False, True])
def test_the_last_command_is_to_brake(fails: bool) -> None:
    """Whatever ends a flight: a vehicle holds its last command until the next one, and there will be none."""
    world = PaperSpace(walk)

    def stop() -> bool:
        if fails and world.time > 3.0:
            raise RuntimeError("a witness, a pilot, the world")
        return False

    with pytest.raises(RuntimeError) if fails else contextlib.nullcontext():
        fly(LocalEyes("truth"), 4.0, world=world, stop=stop)
    assert math.hypot(*world.own.velocity) > 0.3, "control: it flew"
    world.advance(world.time + 3.0)
    assert math.hypot(*world.own.velocity) < 0.05


def test_by_the_real_clock_a_world_that_is_older_goes_on_at_once() -> None:
    """Its clock need not begin with the flight: no two pictures are of one moment."""
    world = PaperSpace(walk)
    world.advance(5.0)
    times = [step.time for step in fly(LocalEyes("truth"), 1.0, world=world, clock="real").steps]
    assert times[0] >= 5.0
    assert len(set(times)) == len(times) > 1


class Forgetful(Fickle):
    """Eyes whose third picture's fate is known last."""

    def poll(self, timeout: float) -> list[Fate]:
        """Keep one fate back until ten more are known."""
        self._held += LocalEyes.poll(self, 0.0)
        ready = [fate for fate in self._held if fate.id != 3 or self._held[-1].id > 13]
        self._held = [fate for fate in self._held if fate not in ready]
        if not ready:
            time.sleep(max(0.0, min(timeout, 0.001)))
        return ready


def test_steps_lie_in_the_order_of_their_pictures() -> None:
    """Though one's fate became known late."""
    times = [step.time for step in fly(Forgetful(), 2.0, clock="real").steps]
    assert len(times) > 13
    assert times == sorted(times)


def test_a_flight_can_be_stopped() -> None:
    """What was flown is kept."""
    asked = iter(range(1000))
    sortie = fly(LocalEyes("truth"), stop=lambda: next(asked) >= 30)
    assert sortie.interrupted
    assert len(sortie.steps) == 31


@pytest.mark.parametrize("arm", ["truth", "blind"])
def test_by_the_real_clock_the_world_goes_on(arm: Arm) -> None:
    """A second of the world takes a second, and every picture that was taken has a step."""
    start = time.monotonic()
    sortie = fly(LocalEyes(arm), 1.0, clock="real")
    assert 0.95 < time.monotonic() - start < 5
    assert sortie.seconds == pytest.approx(1.0, abs=0.5)
    assert len(sortie.steps) + sortie.skipped <= 1 + RATE * sortie.seconds
    assert all(step.latency_ms is not None and step.latency_ms >= 0 for step in sortie.steps)


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
    """Eyes that answer after 150 ms of the clock, but the pictures of the first second not at all."""

    def __init__(self, clock: SteppedClock) -> None:
        super().__init__("truth")
        self._clock = clock
        self._due: list[tuple[float, Fate]] = []

    def offer(self, observation: Observation) -> int:
        """Look at a picture."""
        number = super().offer(observation)
        fate = self._fates.pop()
        if observation.captured >= 1.0:
            self._due.append((self._clock.now + 0.15, fate))
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
    waited = ANSWER_WITHIN + 22 * SILENT_WITHIN + 57 * 0.15 + closed_loop.SILENCE
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


class Garbled(LocalEyes):
    """Eyes of which every other answer's track is none."""

    track: Any = None

    def poll(self, timeout: float) -> list[Fate]:
        """Spoil it."""
        fates = super().poll(timeout)
        return [replace(fate, body=fate.body | {"track": self.track}) if fate.id % 2 else fate for fate in fates]


@pytest.mark.parametrize(
    "track",
    [
        "x",
        [1],
        {"state": "following"},
        {"state": [], "time": 1.0},
        {"state": "searching", "time": None},
        {"state": "searching", "time": 10**400},
        {"state": "searching", "time": 1.0, "updates": "many"},
        {"state": "following", "time": 1.0, "space": "world", **dict.fromkeys(("position", "velocity"), 7)},
    ],
    ids=lambda track: repr(track)[:40],
)
def test_an_answer_that_cannot_be_read_is_one_without_a_track(track: Any) -> None:
    """The flight goes on by the others, and says what was wrong."""
    garbled = Garbled("truth")
    garbled.track = track
    flown = fly(garbled, 3.0)
    assert [step.outcome for step in flown.steps] == ["error", "result"] * 30
    assert all("cannot be read" in (step.reason or "") for step in flown.steps[::2])
    assert {step.braking for step in flown.steps[20:]} == {None}
    assert not flown.server_gone


def test_arms_need_a_truth() -> None:
    """A world that does not know its own truth needs a network."""
    unknown = replace(PaperSpace(walk).capture(), truth=None)
    with pytest.raises(BadInput, match="--eyes network"):
        LocalEyes("truth").offer(unknown)
