"""The closed loop over a world of paper: what follows, and what must not."""

from __future__ import annotations

import contextlib
import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.sim_bridge.unhurried import SteppedClock
from tests.sim_bridge.walks import RATE, fly, moved, walk

from quadfollow_core.errors import BadInput
from quadfollow_core.stream_client import Fate
from quadfollow_sim import closed_loop
from quadfollow_sim.closed_loop import GIVE_UP, SILENT_WITHIN, ClosedLoop
from quadfollow_sim.eyes import LocalEyes
from quadfollow_sim.judge import Row
from quadfollow_sim.measures import distance_between, measure_sortie
from quadfollow_sim.paper import PaperSpace
from quadfollow_sim.pilot import Pilot
from quadfollow_sim.video import VideoWriter
from quadfollow_sim.world import Observation


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
    """Half a second after the last answer, give or take a picture, it brakes, not sooner; then it stands still."""
    sortie = fly(Fickle(until=6.0), 10.0)
    answered = [step for step in sortie.steps if 2 < step.time < 5.9]
    assert {step.braking for step in answered} == {None}
    assert answered[-1].speed > 0.5
    braked = next(step.time for step in sortie.steps if step.time > 5.9 and step.braking is not None)
    assert abs(braked - 6.0 - 0.5) <= 1.5 / RATE
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


class Forgetful(LocalEyes):
    """Eyes whose third picture's fate is known last."""

    def __init__(self, clock: SteppedClock) -> None:
        super().__init__("truth")
        self.told: list[int] = []
        self._clock = clock
        self._held: list[Fate] = []

    def poll(self, timeout: float) -> list[Fate]:
        """Keep one fate back until ten more are known."""
        self._held += super().poll(0.0)
        ready = [fate for fate in self._held if fate.id != 3 or self._held[-1].id > 13]
        self._held = [fate for fate in self._held if fate not in ready]
        if not ready:
            self._clock.sleep(timeout)
        self.told += [fate.id for fate in ready]
        return ready


def test_steps_lie_in_the_order_of_their_pictures(clock: SteppedClock) -> None:
    """Though one's fate became known late."""
    forgetful = Forgetful(clock)
    times = [step.time for step in fly(forgetful, 2.0, clock="real").steps]
    assert forgetful.told.index(3) > 10, "control"
    assert len(times) == len(forgetful.told)
    assert times == sorted(times)


def test_a_flight_can_be_stopped() -> None:
    """What was flown is kept."""
    asked = iter(range(1000))
    sortie = fly(LocalEyes("truth"), stop=lambda: next(asked) >= 30)
    assert sortie.interrupted
    assert len(sortie.steps) == 31


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


class Smudged(LocalEyes):
    """Eyes of which every other answer's mask is no picture."""

    def poll(self, timeout: float) -> list[Fate]:
        """Spoil it."""
        return [replace(fate, mask_png=b"rubbish") if fate.id % 2 else fate for fate in super().poll(timeout)]


def test_a_mask_that_is_no_picture_is_left_out_of_the_film(tmp_path: Path) -> None:
    """Its track steers all the same."""
    rows: list[Row] = []
    pilot = Pilot(1 / RATE)
    pilot.order("arm")
    with VideoWriter(tmp_path / "film.mp4", RATE) as film:
        witnesses = (film, lambda row, observation, fate: rows.append(row))
        eyes = Smudged("truth", mask=True)
        flown = ClosedLoop(PaperSpace(walk), eyes, pilot, rate=RATE, witnesses=witnesses).fly(3.0)
    assert {step.outcome for step in flown.steps} == {"result"}
    assert [row.outcome for row in rows] == ["error", "result"] * 30
    assert {step.braking for step in flown.steps[20:]} == {None}
    assert film.path.exists()


def test_arms_need_a_truth() -> None:
    """A world that does not know its own truth needs a network."""
    unknown = replace(PaperSpace(walk).capture(), truth=None)
    with pytest.raises(BadInput, match="--eyes network"):
        LocalEyes("truth").offer(unknown)


@pytest.mark.parametrize("seconds", [None, math.inf, math.nan])
def test_lockstep_takes_a_length(seconds: float | None) -> None:
    """A world that waits for answers would wait for ever: a flight without an end is refused in words."""
    with pytest.raises(BadInput, match="length in seconds"):
        fly(LocalEyes("truth"), seconds)  # type: ignore[arg-type]
