"""The controller: turns to the target, keeps its place, and in a closed loop holds a walking person in view."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quadfollow_core.errors import BadInput
from quadfollow_core.geometry import Camera, Intrinsics, bearing
from quadfollow_core.kalman_tracker import KalmanTracker
from quadfollow_core.track import Look, Space, Track, Tracker
from quadfollow_core.trackers import make_tracker
from quadfollow_core.types import Sighting, Target
from quadfollow_sim.barrier import Caution, Wall, steer_clear
from quadfollow_sim.follow import Formation, follow
from quadfollow_sim.limits import Limits
from quadfollow_sim.pilot import Pilot, Plan
from quadfollow_sim.point_mass import PointMass
from quadfollow_sim.search import Search, search, side_of
from quadfollow_sim.surroundings import Scattered, Surroundings
from quadfollow_sim.vehicle import Brake, Follow, OwnState, Steering, Vehicle, Velocity
from quadfollow_sim.world import Point

LENS = Intrinsics.from_fov(256, 256, math.radians(60))
FORMATION = Formation()
WALK = 1.485
STEP = 1 / 20
metre = st.floats(-50, 50)
speed = st.floats(-20, 20)
angle = st.floats(-math.pi, math.pi)


def track_at(position: Sequence[float], velocity: Sequence[float] = (0.0, 0.0, 0.0), **more: object) -> Track:
    """A track in the space that fits the length of its position."""
    space: Space = "world" if len(position) == 3 else "bearing"
    sigma = (0.1,) * len(position)
    track = Track("following", 0.0, space, tuple(position), tuple(velocity)[: len(position)], sigma, sigma, age=0.0)
    return replace(track, **more)  # type: ignore[arg-type]


def own_at(x: float, y: float, z: float, yaw: float = 0.0, pitch: float = 0.3) -> OwnState:
    """A vehicle that hovers."""
    return OwnState((x, y, z), (0.0, 0.0, 0.0), yaw, pitch)


def wished(track: Track, own: OwnState) -> Velocity:
    """The controller's wish, which must be one."""
    wish = follow(track, own, FORMATION)
    assert wish is not None
    return wish


# ---- the law


def test_in_place_nothing_is_wished_for() -> None:
    """At the right distance and height, facing a person who stands, the vehicle stays and looks down at her."""
    wish = wished(track_at((3.0, 0.0, 0.8)), own_at(0.0, 0.0, 2.4))
    assert wish.linear == pytest.approx((0, 0, 0), abs=1e-9)
    assert wish.yaw_rate == pytest.approx(0)
    assert wish.tilt == pytest.approx(math.atan2(1.6, 3.0))


@given(metre, metre, st.floats(0, 10), angle)
def test_it_moves_towards_its_place(x: float, y: float, z: float, yaw: float) -> None:
    """The wish never leads away from the ring around the target, nor from the height above it."""
    own, target = own_at(x, y, z, yaw), (1.0, 2.0, 0.8)
    wish = wished(track_at(target), own)
    off = math.dist((x, y), target[:2]) - FORMATION.distance
    inward = np.dot(wish.linear[:2], np.subtract(target[:2], (x, y)))
    assert inward * off >= -1e-9
    assert wish.linear[2] * (target[2] + FORMATION.height - z) >= 0


@given(metre, metre, angle)
def test_it_turns_the_shorter_way(x: float, y: float, yaw: float) -> None:
    """A small turn at the wished rate brings the target closer to the middle of the view."""
    own = own_at(0.0, 0.0, 2.4, yaw)
    off = math.remainder(math.atan2(y, x) - yaw, math.tau)
    if math.hypot(x, y) > 1 and 0.01 < abs(off) < 3.1:
        wish = wished(track_at((x, y, 0.8)), own)
        assert abs(math.remainder(off - 0.01 * wish.yaw_rate, math.tau)) < abs(off)


def test_it_goes_along() -> None:
    """In place, the vehicle is carried along at the target's velocity and turns with the line of sight."""
    wish = wished(track_at((3.0, 0.0, 0.8), (0.0, 1.5, 0.0)), own_at(0.0, 0.0, 2.4))
    assert wish.linear == pytest.approx((0, 1.5, 0), abs=1e-9)
    assert wish.yaw_rate == pytest.approx(0.5)


def test_right_above_the_target_it_does_not_spin() -> None:
    """Where the direction says nothing the yaw rests, and the way out is backwards."""
    wish = wished(track_at((0.0, 0.0, 0.8), (1.0, 0.0, 0.0)), own_at(0.0, 0.0, 2.4))
    assert wish.yaw_rate == 0
    assert wish.linear[0] == pytest.approx(1.0 - FORMATION.distance)


def test_in_bearing_space_it_centres_the_target() -> None:
    """A target to the right turns the vehicle clockwise, one above raises the camera, a far one draws it nearer."""
    wish = wished(track_at((0.2, 0.1), distance=8.0), own_at(0.0, 0.0, 2.4, yaw=math.pi / 2))
    assert wish.yaw_rate < 0
    assert wish.tilt == pytest.approx(0.2)
    assert wish.linear[1] > 1
    assert wish.linear[0] > 0  # to the right of north lies east
    near = wished(track_at((0.0, 0.0), distance=1.0), own_at(0.0, 0.0, 2.4))
    assert near.linear[0] < 0
    unknown = wished(track_at((0.2, 0.1)), own_at(0.0, 0.0, 2.4))
    assert unknown.linear == (0, 0, 0)


def test_pixels_alone_do_not_steer() -> None:
    """Without intrinsics there is no direction to fly or turn to."""
    pixels = (100.0, 100.0)
    track = Track("following", 0.0, "pixel", pixels, pixels, pixels, pixels, age=0.0)
    assert follow(track, own_at(0, 0, 2), FORMATION) is None


@pytest.mark.parametrize("make", [lambda: Formation(distance=0), lambda: Search(look_for=-1), lambda: Limits(speed=0)])
def test_nonsense_is_refused(make: Callable[[], object]) -> None:
    """Numbers nobody can fly by are refused when they are made."""
    with pytest.raises(BadInput):
        make()


def test_doubt_stands_back() -> None:
    """The less sure the place, the farther back the vehicle wants to be, up to a limit."""
    sigmas = [(s, s, 0.1) for s in (0.0, 0.2, 0.5, 1.0, 2.0, 99.0)]
    distances = [FORMATION.distance_to(track_at((9.0, 0.0, 0.8), position_sigma=sigma)) for sigma in sigmas]
    assert distances[:2] == [FORMATION.distance, FORMATION.distance]
    assert distances == sorted(distances)
    assert distances[-1] == FORMATION.farthest


# ---- limits and walls


@given(st.tuples(speed, speed, speed), st.tuples(speed, speed, speed), angle, angle, st.floats(0, 0.2))
def test_limits_hold(wish: Point, before: Point, yaw_rate: float, pitch: float, seconds: float) -> None:
    """Whatever is wished for, speed, climb, yaw rate and gimbal stay within limits, and so does the change."""
    limits = Limits()
    flown = limits.apply(Velocity(wish, 9 * yaw_rate, 9 * pitch), before, seconds)
    assert math.hypot(*flown.linear[:2]) <= limits.speed + 1e-9
    assert abs(flown.linear[2]) <= limits.climb + 1e-9
    assert math.dist(flown.linear, limits.cut(before)) <= limits.acceleration * seconds + 1e-9
    assert abs(flown.yaw_rate) <= limits.yaw_rate
    assert flown.tilt is not None
    assert limits.gimbal[0] <= flown.tilt <= limits.gimbal[1]


@st.composite
def walls(draw: st.DrawFn) -> list[Wall]:
    """A few walls in any direction."""
    found = []
    for _ in range(draw(st.integers(0, 5))):
        azimuth, height = draw(angle), draw(st.floats(-1, 1))
        level = math.sqrt(1 - height * height)
        found.append(Wall((level * math.cos(azimuth), level * math.sin(azimuth), height), draw(st.floats(-1, 8))))
    return found


@given(st.tuples(speed, speed, speed), walls())
def test_walls_are_heeded(velocity: Point, around: list[Wall]) -> None:
    """The velocity flown heeds every wall, and is the one wished for where that does."""
    caution = Caution()
    clear = steer_clear(velocity, around, caution)
    slack = [np.dot(velocity, wall.away) - caution.least(wall.gap) for wall in around]
    if all(value >= 0 for value in slack):
        assert clear == pytest.approx(velocity)
    if clear is not None:
        assert all(np.dot(clear, wall.away) >= caution.least(wall.gap) - 2e-3 for wall in around)
    elif all(wall.gap >= 0 for wall in around):
        pytest.fail("standing still heeds all walls, so there is an answer")


@given(st.tuples(speed, speed, speed), walls(), st.tuples(speed, speed, speed))
def test_no_allowed_velocity_is_nearer(velocity: Point, around: list[Wall], other: Point) -> None:
    """Of all velocities that heed the walls the one flown is nearest to the wish, but for a standstill in a wedge."""
    caution = Caution()
    clear = steer_clear(velocity, around, caution)
    if clear not in (None, (0.0, 0.0, 0.0)) and all(
        np.dot(other, wall.away) >= caution.least(wall.gap) for wall in around
    ):
        assert math.dist(clear or other, velocity) <= math.dist(other, velocity) + 0.02


@given(st.floats(0, 100))
def test_what_approaches_a_wall_can_brake_before_it(gap: float) -> None:
    """The approach allowed is one that the vehicle stops from within the gap, and inside the margin it retreats."""
    caution = Caution(gain=1.0, brake=1.5)
    fastest = -caution.least(gap)
    assert 0 <= fastest <= gap
    assert fastest**2 / (2 * caution.brake) <= gap + 1e-9
    assert caution.least(-gap) == pytest.approx(min(caution.retreat, 2 * gap))


def test_there_may_be_no_way() -> None:
    """Between two walls that both push, there is no velocity."""
    squeeze = [Wall((1.0, 0.0, 0.0), -1.0), Wall((-1.0, 0.0, 0.0), -1.0)]
    assert steer_clear((0.0, 0.0, 0.0), squeeze, Caution()) is None


# ---- the search


@pytest.mark.parametrize(
    ("age", "moves", "turns"),
    [
        (3.0, True, False),  # goes to look where it went, to and fro
        (4.9, True, False),
        (5.1, False, True),  # then sweeps in place
        (60.0, False, True),
    ],
)
def test_the_search_has_two_phases(age: float, moves: bool, turns: bool) -> None:
    """First it flies to where the target would be, then it hovers and sweeps to the side the target went."""
    lost = track_at((10.0 + 1.0 * age, 0.1, 0.8), (1.0, 0.01, 0.0), state="lost", age=age)
    wish = search(lost, own_at(0.0, 0.0, 2.4), FORMATION, Search())
    assert (wish.linear[0] > 1) == moves
    assert (wish.yaw_rate == Search().sweep_rate) == turns


def test_a_lost_target_is_not_chased_for_ever() -> None:
    """The place looked at stops where the target would be after a few seconds, while the view goes to and fro."""
    ages = (3.0, 4.9)
    lost = [track_at((10.0 + 1.5 * age, 0.0, 0.8), (1.5, 0.0, 0.0), state="lost", age=age) for age in ages]
    early, late = (search(track, own_at(0.0, 0.0, 2.4), FORMATION, Search()) for track in lost)
    assert early.linear == late.linear
    assert early.yaw_rate != late.yaw_rate
    assert early.linear[0] == pytest.approx(14.5 - FORMATION.distance)


def test_the_sweep_goes_to_the_side_the_target_left_by() -> None:
    """To the right is clockwise, in the world as in the picture; with nothing known it goes left."""
    own = own_at(0.0, 0.0, 2.4)
    assert side_of(track_at((10.0, 0.0, 0.8), (0.0, -1.0, 0.0)), own) < 0
    assert side_of(track_at((0.0, 10.0, 0.8), (-1.0, 0.0, 0.0)), own) > 0
    assert side_of(track_at((0.1, 0.0), (0.3, 0.0)), own) < 0
    assert side_of(Track("searching", 0.0), own) > 0
    right = search(Track("searching", 0.0), own, FORMATION, Search(), side=-0.1)
    assert right.yaw_rate == -Search().sweep_rate


# ---- the closed loop


def walk_round(time: float, side: float = 8.0) -> Point:
    """A person who walks round a square of this side, with sharp corners, at QuadSim's pace."""
    along = WALK * time % (4 * side)
    x, y = [(along, 0), (side, along - side), (3 * side - along, side), (0, 4 * side - along)][int(along // side)]
    return (4.0 + x, y - 2.0, 0.8)


@dataclass
class Flight:
    """A point mass, a noisy eye, a tracker and a pilot, one frame of delay from capture to command."""

    tracker: Tracker = field(default_factory=KalmanTracker)
    surroundings: Surroundings = field(default_factory=Scattered)
    plan: Plan = field(default_factory=Plan)
    target: Callable[[float], Point] = walk_round
    hidden: Callable[[float], bool] = lambda time: False
    mirrored: bool = False
    answers: Callable[[float], bool] = lambda time: True
    dice: np.random.Generator = field(default_factory=lambda: np.random.default_rng(5))
    vehicle: PointMass = field(default_factory=lambda: PointMass((0.0, -2.0, 2.4)))

    def __post_init__(self) -> None:
        self.pilot = Pilot(STEP, self.plan, self.surroundings)
        self.pilot.order("arm")
        self.errors: list[float] = []
        self.in_view: list[bool] = []
        self.path: list[OwnState] = []
        self.commands: list[Steering] = []

    def run(self, seconds: float) -> Flight:
        """Fly; at each frame the answer to the one before has come."""
        pending: tuple[Track, float] | None = None
        for k in range(round(seconds / STEP)):
            time = k * STEP
            if pending is not None and self.answers(time):
                self.pilot.hear(*pending, now=time)
            pending = (self.tracker.update(Look(self.look(time), time, self.vehicle.camera(LENS))), time)
            self.note(pending[0], time)
            self.commands.append(self.pilot.command(self.vehicle.state, time))
            self.vehicle.command(self.commands[-1])
            self.vehicle.step(STEP)
        return self

    def note(self, track: Track, time: float) -> None:
        """Keep what the flight is judged by."""
        self.path.append(self.vehicle.state)
        self.in_view.append(pixel(self.vehicle.camera(LENS), self.target(time)) is not None)
        if track.world is not None and track.state in ("following", "coasting"):
            self.errors.append(math.dist(track.world, self.target(time)))

    def look(self, time: float) -> Sighting:
        """What the frame shows, noise and all."""
        camera, point = self.vehicle.camera(LENS), self.target(time)
        seen = None if self.hidden(time) else pixel(camera, point)
        if seen is None or camera.pose is None:
            return Sighting(None)
        depth = camera.pose.camera_from_world(point)[2]
        width, height = 0.5 * LENS.fx / depth, 1.6 * LENS.fy / depth
        u = (256 - seen[0] if self.mirrored else seen[0]) + self.dice.normal(0, math.hypot(1, 0.05 * width))
        v = seen[1] + self.dice.normal(0, math.hypot(1, 0.05 * height))
        azimuth, elevation = bearing(LENS.unproject(u, v))
        distance = math.dist(point, camera.pose.position) - 0.1 + self.dice.normal(0, 0.15)
        box = (u - width / 2, v - height / 2, u + width / 2, v + height / 2)
        return Sighting(Target((u, v), box, width * height, 0.9, azimuth, elevation, distance, "depth"))


def pixel(camera: Camera, point: Point) -> tuple[float, float] | None:
    """Where a point is seen in a picture of 256 pixels; None outside."""
    seen = (camera.pose or pytest.fail("no pose")).camera_from_world(point)
    if seen[2] < 0.1:
        return None
    u, v = LENS.project(seen)
    return (u, v) if 0 <= u <= 256 and 0 <= v <= 256 else None


def test_a_walking_person_stays_in_view() -> None:
    """Round a square for a minute, with noise and a frame of delay: always in view, known to 0.3 m, kept near."""
    flight = Flight().run(60)
    assert np.mean(flight.in_view) == 1, f"in view {np.mean(flight.in_view):.1%}"
    assert np.median(flight.errors) < 0.15, f"median error {np.median(flight.errors):.2f} m"
    assert len(flight.errors) > 1190
    gaps = [math.dist(own.position[:2], walk_round(k * STEP)[:2]) for k, own in enumerate(flight.path)]
    assert np.median(gaps[100:]) == pytest.approx(FORMATION.distance, abs=0.4)
    assert all(own.position[2] == pytest.approx(2.4, abs=0.5) for own in flight.path)


def test_occlusions_are_bridged() -> None:
    """Hidden for one second in every five, the person is coasted for and stays in view nearly always."""
    flight = Flight(hidden=lambda time: time % 5 > 4).run(60)
    assert np.mean(flight.in_view) > 0.99, f"in view {np.mean(flight.in_view):.1%}"
    assert np.median(flight.errors) < 0.3, f"median error {np.median(flight.errors):.2f} m"


def test_it_is_found_again_after_a_long_absence() -> None:
    """Hidden for seven seconds while walking on, the person is looked for and found."""
    flight = Flight(hidden=lambda time: 10 < time < 17).run(45)
    assert all(flight.in_view[-200:])


def test_a_blind_network_moves_nothing() -> None:
    """With nothing ever seen the vehicle turns where it is, and does not move."""
    flight = Flight(hidden=lambda time: True).run(20)
    assert {own.position for own in flight.path} == {(0.0, -2.0, 2.4)}
    assert any(own.yaw != 0 for own in flight.path)


def test_mirrored_masks_do_not_follow() -> None:
    """With left and right exchanged the loop must fail: what holds the target is what is seen."""
    flight = Flight(mirrored=True).run(60)
    assert np.mean(flight.in_view) < 0.7, f"in view {np.mean(flight.in_view):.1%}"


def test_the_baseline_flies_too() -> None:
    """The old rule behind the same pilot follows what it sees, less exactly, and loses more behind occlusions."""
    old, new = Flight(tracker=make_tracker("centroid")).run(30), Flight().run(30)
    assert np.mean(old.in_view) > 0.95
    assert np.median(new.errors) < 0.7 * np.median(old.errors)
    old, new = (Flight(tracker=make_tracker(name), hidden=sometimes).run(60) for name in ("centroid", "kalman"))
    assert np.mean(new.in_view) > np.mean(old.in_view) + 0.1


def sometimes(time: float) -> bool:
    """Hidden for two and a half seconds in every eight."""
    return time % 8 > 5.5


def test_when_answers_end_it_brakes_and_hovers() -> None:
    """Half a second after the last answer's frame the vehicle brakes, and then it stands."""
    flight = Flight(answers=lambda time: time < 10).run(15)
    first = next(k for k, command in enumerate(flight.commands) if isinstance(command, Brake) and k > 2)
    assert first * STEP <= 10 + 0.5
    assert all(isinstance(command, Brake) for command in flight.commands[first:])
    assert flight.path[-1].velocity == pytest.approx((0, 0, 0), abs=0.01)


def test_obstacles_keep_their_margin() -> None:
    """A row of pillars beside the walk is flown round, never nearer than its margin."""
    pillars = [(x, y, z) for x in (2.0, 6.0, 10.0) for y in (-4.0, 2.0) for z in (0.0, 1.0, 2.0, 3.0)]
    flight = Flight(surroundings=Scattered(pillars)).run(40)
    nearest = min(math.dist(own.position, pillar) for own in flight.path for pillar in pillars)
    assert nearest > Plan().obstacle_margin - 0.1, f"came as near as {nearest:.2f} m"


def test_a_point_mass_is_a_vehicle() -> None:
    """The public fake meets the seam, comes up to a velocity with its lag, and refuses what it cannot fly."""
    vehicle = PointMass((0.0, 0.0, 2.0), lag=0.5)
    assert isinstance(vehicle, Vehicle)
    vehicle.command(Velocity((2.0, 0.0, 0.0), 0.1))
    for _ in range(50):
        vehicle.step(0.01)
    assert vehicle.state.velocity[0] == pytest.approx(2 * (1 - math.exp(-1)))
    assert vehicle.state.yaw == pytest.approx(0.05)
    with pytest.raises(BadInput):
        vehicle.command(Follow((0.0, 0.0, 0.0)))
