"""Safety: the switch, freshness, the fence, people, and that no input whatever breaks a limit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quadfollow_core.errors import BadInput
from quadfollow_core.track import DIMENSIONS, Space, State, Track
from quadfollow_sim.barrier import Caution
from quadfollow_sim.limits import Limits
from quadfollow_sim.pilot import LONGEST_STEP, Pilot, Plan
from quadfollow_sim.point_mass import PointMass
from quadfollow_sim.safety import Fence, Mode, Order, SafetyRule, freshness_window, is_fresh, obey
from quadfollow_sim.surroundings import Scattered
from quadfollow_sim.vehicle import Brake, OwnState, Steering, Velocity
from quadfollow_sim.world import Point

STEP = 1 / 20
HOME = OwnState((0.0, 0.0, 2.4), (0.0, 0.0, 0.0), 0.0, 0.3)
SIGMA = (0.1, 0.1, 0.1)


def sure(position: Sequence[float] = (9.0, 0.0, 0.8), velocity: Sequence[float] = (0.0, 0.0, 0.0)) -> Track:
    """A track that earns the first motion."""
    return Track(
        "following", 0.0, "world", tuple(position), tuple(velocity), SIGMA, SIGMA, age=0.0, updates=9, confidence=0.9
    )


def armed(**more: object) -> Pilot:
    """A pilot that may fly."""
    pilot = Pilot(STEP, **more)  # type: ignore[arg-type]
    pilot.order("arm")
    return pilot


# ---- the switch


@pytest.mark.parametrize(
    ("orders", "mode"),
    [
        ("", "disarmed"),
        ("arm", "armed"),
        ("arm hold", "holding"),
        ("arm hold resume", "armed"),
        ("hold", "disarmed"),  # nothing to hold
        ("arm hold arm", "holding"),  # only resume goes on
        ("arm disarm", "disarmed"),
        ("arm hold disarm", "disarmed"),
        ("arm abort", "aborted"),
        ("arm abort arm", "aborted"),  # an abort is not armed away
        ("arm abort resume", "aborted"),
        ("arm abort disarm arm", "armed"),
        ("abort", "aborted"),
    ],
)
def test_the_switch(orders: str, mode: str) -> None:
    """The table of orders."""
    pilot = Pilot(STEP)
    for order in orders.split():
        pilot.order(order)  # type: ignore[arg-type]
    assert pilot.mode == mode


@given(st.sampled_from(get_args(Mode)), st.sampled_from(get_args(Order)))
def test_only_arm_and_resume_lead_to_flight(mode: Mode, order: Order) -> None:
    """No other order arms, and abort aborts from anywhere."""
    after = obey(mode, order)
    assert after != "armed" or mode == "armed" or (mode, order) in {("disarmed", "arm"), ("holding", "resume")}
    assert order != "abort" or after == "aborted"


@pytest.mark.parametrize("order", [None, "hold", "abort"])
def test_unarmed_it_brakes(order: Order | None) -> None:
    """Whatever is seen, a vehicle that is not armed, or holds, or was aborted, brakes and says why."""
    pilot = Pilot(STEP)
    if order is not None:
        pilot.order("arm")
        pilot.order(order)
    pilot.hear(sure(), 0.0, 0.0)
    command = pilot.command(HOME, 0.0)
    assert command == Brake(pilot.mode)


# ---- freshness


@given(st.floats(0.001, 1), st.floats(-5, 5))
def test_fresh_is_half_a_second_or_four_frames(period: float, age: float) -> None:
    """An answer is fresh for the longer of the two, and never before its frame was captured."""
    assert freshness_window(period) == max(0.5, 4 * period)
    assert is_fresh(100.0, 100.0 + age, period) == (0 <= (100.0 + age) - 100.0 <= max(0.5, 4 * period))


answers = st.lists(st.tuples(st.floats(0, 0.3), st.floats(-1, 3)), min_size=1, max_size=40)


@given(answers)
def test_stale_answers_never_steer(script: list[tuple[float, float]]) -> None:
    """However answers come, each command either rests on one within the window or brakes."""
    pilot, now, newest = armed(), 0.0, -math.inf
    for pause, age in script:
        now += pause
        captured = now - age
        taken = pilot.hear(sure(), captured, now)
        assert taken == (0 <= now - captured <= 0.5 and captured > newest)
        newest = max(newest, captured) if taken else newest
        command = pilot.command(HOME, now)
        assert isinstance(command, Velocity) == (now - newest <= 0.5)


def test_an_old_answer_does_not_replace_a_newer_one() -> None:
    """Answers that overtake each other steer in the order of their frames."""
    pilot = armed()
    pilot.hear(sure((9.0, 9.0, 0.8)), 0.2, 0.25)
    assert not pilot.hear(sure((9.0, -9.0, 0.8)), 0.1, 0.25)
    command = pilot.command(HOME, 0.25)
    assert isinstance(command, Velocity)
    assert command.yaw_rate > 0


def test_it_goes_on_when_answers_come_back() -> None:
    """After a brake the next fresh answer steers again."""
    pilot = armed()
    pilot.hear(sure(), 0.0, 0.0)
    assert isinstance(pilot.command(HOME, 0.4), Velocity)
    assert pilot.command(HOME, 1.0) == Brake("no fresh answer")
    pilot.hear(sure(), 1.0, 1.05)
    assert isinstance(pilot.command(HOME, 1.05), Velocity)


# ---- the first motion


@pytest.mark.parametrize(
    ("confidence", "updates", "state"),
    [(0.59, 9, "following"), (0.9, 4, "following"), (None, 9, "following"), (0.9, 9, "coasting"), (0.9, 9, "lost")],
)
def test_the_first_motion_is_earned(confidence: float | None, updates: int, state: State) -> None:
    """Until a track was sure enough once, the vehicle turns towards it and does not move."""
    track = Track(
        state, 0.0, "world", (9.0, 5.0, 0.8), SIGMA, SIGMA, SIGMA, age=0.0, updates=updates, confidence=confidence
    )
    pilot = armed()
    for k in range(20):
        pilot.hear(track, k * STEP, k * STEP)
        command = pilot.command(HOME, k * STEP)
        assert isinstance(command, Velocity)
        assert command.linear == (0, 0, 0)
        assert command.yaw_rate != 0


def test_once_earned_motion_stays_until_disarmed() -> None:
    """A doubtful track later still steers; after disarming it must be earned anew."""
    pilot, doubtful = armed(), Track("coasting", 0.0, "world", (9.0, 0.0, 0.8), SIGMA, SIGMA, SIGMA, age=0.5)
    pilot.hear(sure(), 0.0, 0.0)
    pilot.command(HOME, 0.0)
    pilot.hear(doubtful, 0.1, 0.1)
    moving = pilot.command(HOME, 0.1)
    assert isinstance(moving, Velocity)
    assert moving.linear[0] > 0
    pilot.order("disarm")
    pilot.order("arm")
    pilot.hear(doubtful, 0.2, 0.2)
    still = pilot.command(HOME, 0.2)
    assert isinstance(still, Velocity)
    assert still.linear == (0, 0, 0)


# ---- fence and people


def fly(pilot: Pilot, vehicle: PointMass, target: Sequence[Point]) -> list[OwnState]:
    """Fly after a target that is known exactly, one frame late; return where the vehicle was."""
    path = []
    for k, place in enumerate(target):
        velocity = (
            (0.0, 0.0, 0.0) if k == 0 else tuple((b - a) / STEP for a, b in zip(target[k - 1], place, strict=True))
        )
        pilot.hear(sure(place, velocity), k * STEP, (k + 1) * STEP)
        vehicle.command(pilot.command(vehicle.state, (k + 1) * STEP))
        vehicle.step(STEP)
        path.append(vehicle.state)
    return path


def straight(start: Point, velocity: Point, seconds: float) -> list[Point]:
    """A walk in a straight line."""
    x, y, z = start
    vx, vy, vz = velocity
    times = [k * STEP for k in range(round(seconds / STEP))]
    return [(x + vx * time, y + vy * time, z + vz * time) for time in times]


@pytest.mark.parametrize("velocity", [(4.0, 0.0, 0.0), (-2.0, 3.0, 0.0), (0.0, -4.0, 1.0), (1.0, 1.0, -1.0)])
def test_the_fence_holds(velocity: Point) -> None:
    """A target that leaves through any side, the ceiling or the ground is not followed out."""
    fence = Fence(-10, 10, -10, 10, 1.2, 6)
    pilot, vehicle = armed(plan=Plan(safety=SafetyRule(fence))), PointMass((0.0, 0.0, 2.4))
    path = fly(pilot, vehicle, straight((3.0, 0.0, 0.8), velocity, 20))
    outside = max(-wall.gap for own in path for wall in fence.walls(own.position))
    assert outside < 0.1, f"{outside:.2f} m outside"
    assert any(math.dist(own.position, path[0].position) > 3 for own in path)


def test_from_outside_it_comes_back() -> None:
    """A vehicle that starts outside its fence is led inside."""
    pilot = armed(plan=Plan(safety=SafetyRule(Fence(-5, 5, -5, 5, 1.2, 6))))
    path = fly(pilot, PointMass((8.0, 0.0, 2.4)), straight((20.0, 0.0, 0.8), (0.0, 0.0, 0.0), 20))
    assert path[-1].position[0] < 5.1


def test_people_in_the_way_keep_their_distance() -> None:
    """Following past bystanders, the vehicle never comes nearer to one than the margin."""
    bystanders = [(6.0, 0.3, 0.8), (9.0, -0.4, 0.8), (12.0, 0.0, 0.8)]
    pilot = armed(plan=Plan(), surroundings=Scattered(people=bystanders))
    path = fly(pilot, PointMass((0.0, 0.0, 1.6)), straight((3.0, 0.0, 0.8), (1.485, 0.0, 0.0), 20))
    rule = SafetyRule()
    nearest = min(rule.person_wall(who, own.position).gap for own in path for who in bystanders)
    assert nearest > -0.1, f"{-nearest:.2f} m within the margin"


def test_it_backs_off_from_a_target_that_comes() -> None:
    """A target that walks up to the vehicle at QuadSim's pace is kept at the margin."""
    target = straight((6.0, 0.0, 0.8), (-1.485, 0.0, 0.0), 10)
    path = fly(armed(), PointMass((0.0, 0.0, 2.4)), target)
    nearest = min(SafetyRule().person_wall(who, own.position).gap for own, who in zip(path, target, strict=True))
    assert nearest > 0, f"{-nearest:.2f} m within the margin"


def test_no_wish_of_a_controller_breaks_a_limit() -> None:
    """A controller of one's own that asks for 50 m/s and a spin gets what the limits allow, all of it, gently."""
    pilot = armed(controller=lambda *_: Velocity((50.0, 0.0, 10.0), 9.0, 9.0))
    vehicle, limits, before = PointMass((0.0, 0.0, 2.4)), Limits(), (0.0, 0.0, 0.0)
    for k in range(60):
        pilot.hear(sure((900.0, 0.0, 0.8)), k * STEP, k * STEP)
        command = pilot.command(vehicle.state, k * STEP)
        assert isinstance(command, Velocity)
        assert math.dist(command.linear, before) <= limits.acceleration * STEP + 1e-9
        assert (command.yaw_rate, command.tilt) == (limits.yaw_rate, limits.gimbal[1])
        before = command.linear
        vehicle.command(command)
        vehicle.step(STEP)
    assert before == pytest.approx((limits.speed, 0.0, limits.climb))


def headlong(track: Track, own: OwnState) -> Velocity:
    """A controller that wishes to fly straight at her, and through whatever is on the way."""
    away = math.dist(track.position, own.position)
    x, y, z = (50 * (there - here) / away for there, here in zip(track.position, own.position, strict=True))
    return Velocity((x, y, z))


@pytest.mark.parametrize("ahead", ["her", "a thing", "the fence"])
def test_a_controller_that_flies_headlong_is_held_back(ahead: str) -> None:
    """Whoever one's own would fly at, or whatever through, it comes near that and keeps the distance."""
    her, thing = (7.0, 0.0, 0.8) if ahead == "her" else (60.0, 0.0, 1.6), (6.0, 0.0, 1.6)
    plan = Plan(safety=SafetyRule(Fence(east=5.0))) if ahead == "the fence" else Plan()
    pilot = armed(plan=plan, surroundings=Scattered([thing] if ahead == "a thing" else []), controller=headlong)

    def gap(place: Point) -> float:
        if ahead == "her":
            return plan.safety.person_wall(her, place).gap
        if ahead == "the fence":
            return plan.safety.fence.east - place[0]
        return math.dist(thing, place) - plan.obstacle_margin

    path = fly(pilot, PointMass((0.0, 0.0, 1.6)), straight(her, (0.0, 0.0, 0.0), 8))
    nearest = min(gap(own.position) for own in path)
    assert -0.1 < nearest < 0.5, f"{-nearest:.2f} m too near, or it never came near"


@pytest.mark.parametrize("pace", [5.0, 50.0, 500.0])
def test_beside_many_things_a_controller_that_flies_headlong_is_not_held_still(pace: float) -> None:
    """Through an alley of many points it flies to her, however much it wishes for, and keeps its distance to them."""
    things = [(1.0 + 0.7 * k, y, z) for k in range(20) for y in (-2.8, 3.1) for z in (0.5, 1.5, 2.5, 3.5)]

    def onward(track: Track, own: OwnState) -> Velocity:
        x, y, z = headlong(track, own).linear
        return Velocity((pace / 50 * x, pace / 50 * y, pace / 50 * z))

    pilot = armed(surroundings=Scattered(things), controller=onward)
    path = fly(pilot, PointMass((0.0, 0.0, 2.4)), straight((60.0, 0.0, 1.6), (0.0, 0.0, 0.0), 8))
    assert path[-1].position[0] > 15
    assert min(math.dist(own.position, thing) for own in path for thing in things) > Plan().obstacle_margin


def test_a_person_is_as_tall_as_they_are() -> None:
    """The distance to a person is that to their vertical axis, from above that to the head."""
    rule = SafetyRule(person_margin=1.0, person_height=1.8)
    assert rule.person_wall((3.0, 0.0, 0.9), (0.0, 0.0, 1.5)).gap == pytest.approx(2.0)
    above = rule.person_wall((0.0, 0.0, 0.9), (0.0, 0.0, 3.8))
    assert above.gap == pytest.approx(1.0)
    assert above.away == (0, 0, 1)
    assert rule.person_wall((0.0, 0.0, 0.9), (0.0, 0.0, 0.9)).away == (0, 0, 1)


def test_boxed_in_it_brakes() -> None:
    """Between people who all are too near, with no way out, the vehicle brakes and says so."""
    ring = [(math.cos(k), math.sin(k), 2.4) for k in range(6)] + [(0.0, 0.0, 3.6), (0.0, 0.0, 1.2)]
    pilot = armed(surroundings=Scattered(people=ring))
    pilot.hear(sure(), 0.0, 0.0)
    command = pilot.command(HOME, 0.0)
    assert isinstance(command, Brake)
    assert "no way" in command.reason


def test_too_fast_towards_something_it_brakes() -> None:
    """Racing at an obstacle that turns up, a gentle change is not enough."""
    pilot = armed(surroundings=Scattered([(1.5, 0.0, 2.4)]))
    pilot.hear(sure(), 0.0, 0.0)
    command = pilot.command(OwnState((0.0, 0.0, 2.4), (4.0, 0.0, 0.0), 0.0, 0.3), 0.0)
    assert isinstance(command, Brake)


# ---- any input

coordinate = st.floats(-1e7, 1e7) | st.floats(-20, 20)
point = st.tuples(coordinate, coordinate, coordinate)
owns = st.builds(OwnState, point, point, coordinate, coordinate)
number = st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def tracks(draw: st.DrawFn) -> Track:
    """Any track at all."""
    space: Space | None = draw(st.sampled_from([*get_args(Space), None]))
    size = 0 if space is None else DIMENSIONS[space]
    a, b, c, d = (tuple(draw(st.lists(coordinate | number, min_size=size, max_size=size))) for _ in range(4))
    age, distance = draw(st.none() | st.floats(0, 1e6)), draw(st.none() | number)
    state: State = draw(st.sampled_from(get_args(State)))
    return Track(state, 0.0, space, a, b, c, d, age=age, updates=9, distance=distance, confidence=draw(st.floats(0, 1)))


anything = st.tuples(st.floats(0, 1), tracks(), owns, st.floats(-1, 1))
near, pace = (st.tuples(*[st.floats(-size, size)] * 3) for size in (10, 3))
flying = st.builds(OwnState, near, pace, st.floats(-4, 4), st.floats(-1, 1))
flyable = st.tuples(st.floats(0, 0.3), st.builds(sure, near, pace), flying, st.floats(0, 0.4))
frames = st.lists(anything | flyable, max_size=12)


def test_no_input_breaks_a_limit() -> None:
    """Whatever comes in, what goes out is a brake or a finite command within every limit, changing gently."""
    moving = 0

    @settings(max_examples=150)
    @given(frames, st.lists(point | near, max_size=3), st.lists(point | near, max_size=3))
    def fly_by(script: list[tuple[float, Track, OwnState, float]], things: list[Point], people: list[Point]) -> None:
        nonlocal moving
        pilot, limits, now, before = armed(surroundings=Scattered(things, people)), Limits(), 0.0, None
        for pause, track, own, age in script:
            now += pause
            pilot.hear(track, now - age, now)
            command: Steering = pilot.command(own, now)
            if isinstance(command, Velocity):
                assert all(map(math.isfinite, (*command.linear, command.yaw_rate, command.tilt or 0.0)))
                assert math.hypot(*command.linear[:2]) <= limits.speed + 1e-9
                assert abs(command.linear[2]) <= limits.climb + 1e-9
                assert abs(command.yaw_rate) <= limits.yaw_rate
                if before is not None:
                    most = limits.acceleration * min(pause, LONGEST_STEP)
                    assert math.dist(command.linear, before) <= most + 1e-9
                moving += math.hypot(*command.linear) > 0.1
            before = command.linear if isinstance(command, Velocity) else None

    fly_by()
    assert moving > 20


@pytest.mark.parametrize(
    "make",
    [
        lambda: OwnState((math.nan, 0, 0), (0, 0, 0), 0, 0),
        lambda: OwnState((0, 0, 0), (0, 0, 0), math.inf, 0),
        lambda: Fence(west=1, east=0),
        lambda: SafetyRule(person_margin=0),
        lambda: SafetyRule(min_confidence=2),
        lambda: Caution(brake=-1),
        lambda: Caution(gain=math.nan),
        lambda: Plan(obstacle_margin=-1),
        lambda: Plan(obstacle_margin=math.nan),
        lambda: Pilot(0.0),
    ],
)
def test_nonsense_is_refused(make: object) -> None:
    """Numbers nobody can fly by are refused when they are made."""
    with pytest.raises(BadInput):
        make()  # type: ignore[operator]
