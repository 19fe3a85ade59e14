"""The controller: turns to the target, keeps its place, stays within limits and searches."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quadfollow_core.errors import BadInput
from quadfollow_core.track import Space, State, Track
from quadfollow_sim.follow import Formation, follow
from quadfollow_sim.limits import Limits
from quadfollow_sim.search import Search, search, side_of
from quadfollow_sim.vehicle import OwnState, Velocity
from quadfollow_sim.world import Point

FORMATION = Formation()
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


@pytest.mark.parametrize("state", ["coasting", "lost"])
def test_in_bearing_space_nobody_is_charged_who_is_not_seen(state: State) -> None:
    """Her bearing does not tell how far it has come since: it turns and looks, and flies nowhere."""
    own, seen = own_at(0.0, 0.0, 2.4), track_at((0.2, 0.1), distance=8.0, age=1.0)
    unseen = replace(seen, state=state)
    wish = search(unseen, own, FORMATION, Search()) if state == "lost" else wished(unseen, own)
    assert wish.linear == (0, 0, 0)
    assert wish.tilt == wished(seen, own).tilt
    assert wished(unseen, own).yaw_rate == wished(seen, own).yaw_rate
    assert wished(seen, own).linear[0] > 1, "control"


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


# ---- limits


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
