"""Walls: the velocity flown heeds them all, and is the nearest to the wish that does, however far that is beyond."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quadfollow_core.errors import BadInput
from quadfollow_core.geometry import Vector
from quadfollow_sim.barrier import Caution, Wall, nearest, steer_clear
from quadfollow_sim.vehicle import Velocity
from quadfollow_sim.world import Point

speed = st.floats(-20, 20)
angle = st.floats(-math.pi, math.pi)


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


def test_no_allowed_velocity_is_nearer() -> None:
    """Of all velocities that heed the walls the one flown is nearest to the wish."""
    caution, in_the_way = Caution(), 0

    @given(st.tuples(speed, speed, speed), walls(), st.tuples(speed, speed, speed))
    def compare(velocity: Point, around: list[Wall], other: Point) -> None:
        nonlocal in_the_way
        clear = steer_clear(velocity, around, caution)
        for heeding in (other, steer_clear(other, around, caution)):  # by chance, or as near to it as may be
            if (
                clear is not None
                and heeding is not None
                and all(np.dot(heeding, wall.away) >= caution.least(wall.gap) - 2e-3 for wall in around)
            ):
                assert math.dist(clear, velocity) <= math.dist(heeding, velocity) + 0.02
                in_the_way += clear != velocity

    compare()
    assert in_the_way > 10


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


# ---- the nearest velocity, exactly


def unit(vectors: Vector) -> Vector:
    """Each row at length one."""
    lengths: Vector = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / lengths


def by_trial(wish: Vector, normals: Vector, least: Vector) -> Vector | None:
    """The nearest heeding one of all points on any walls, up to three: slow, and without a search."""
    points = [wish]
    for some in (list(chosen) for size in (1, 2, 3) for chosen in combinations(range(len(least)), size)):
        points.append(wish + np.linalg.pinv(normals[some], rcond=1e-9) @ (least[some] - normals[some] @ wish))
    heeding = [point for point in points if np.all(normals @ point >= least - 1e-6)]
    return min(heeding, key=lambda point: math.dist(point, wish), default=None)


DICE = np.random.default_rng
KINDS: dict[str, Callable[[np.random.Generator], Vector]] = {
    "any": lambda dice: dice.normal(size=(9, 3)),
    "nearly level": lambda dice: dice.normal(size=(9, 3)) * (1, 1, 1e-6),
    "along the axes, some twice": lambda dice: dice.permutation(np.vstack([np.eye(3), -np.eye(3)]))[[0, 1, 2, 3, 0, 1]],
    "nearly the same": lambda dice: (1, 2, 3) + dice.normal(size=(9, 3)) * 10 ** dice.uniform(-10, -4, (9, 1)),
    "opposing": lambda dice: np.vstack([some := dice.normal(size=(4, 3)), -some]),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("beyond", [1, 100])
def test_the_nearest_is_found_among_all_there_are(kind: str, beyond: float) -> None:
    """It is what trying all sets of walls finds, for walls alike, opposing and pushing, and far wishes."""
    free = none = 0
    for seed in range(60):
        dice = DICE(seed)
        normals = unit(KINDS[kind](dice))
        least = dice.uniform(-4, 1 if seed % 3 == 0 else 0, len(normals)) * dice.integers(0, 2, len(normals))
        wish = 5 * beyond * dice.normal(size=3)
        found, best = nearest(wish, normals, least), by_trial(wish, normals, least)
        assert (found is None) == (best is None)
        if found is None or best is None:
            none += 1
            continue
        assert np.all(normals @ found >= least - 2e-6)
        assert math.dist(found, wish) == pytest.approx(math.dist(best, wish), abs=1e-4)
        free += bool(np.all(found == wish))
    assert none < 30
    assert free < 30


@pytest.mark.parametrize("count", [40, 400])
def test_among_many_walls_it_is_pushed_by_those_it_touches_alone(count: int) -> None:
    """The conditions of Karush, Kuhn and Tucker: it came from the wish by pushes of walls touched, and by no pull."""
    for seed in range(20):
        dice = DICE(seed)
        normals, least, wish = (
            unit(dice.normal(size=(count, 3))),
            -dice.uniform(0.1, 4, count),
            500 * dice.normal(size=3),
        )
        found = nearest(wish, normals, least)
        assert found is not None
        slack = normals @ found - least
        touched = np.abs(slack) < 1e-5
        pushes = np.linalg.lstsq(normals[touched].T, found - wish, rcond=None)[0]
        assert slack.min() >= -1e-5
        assert touched.sum() <= 3
        assert pushes.min() > 0
        assert normals[touched].T @ pushes == pytest.approx(found - wish, abs=1e-6)


def test_where_there_is_one_it_is_found() -> None:
    """Walls that all push, and leave a single velocity or a little room, are heeded."""
    for seed in range(60):
        dice = DICE(seed)
        normals, only = unit(dice.normal(size=(30, 3))), 3 * dice.normal(size=3)
        least = normals @ only - (0 if seed % 2 else dice.uniform(0, 0.1, 30))
        found = nearest(500 * dice.normal(size=3), normals, least)
        assert found is not None
        assert np.all(normals @ found >= least - 2e-6)


def test_four_walls_may_leave_nothing_that_three_leave() -> None:
    """The faces of a pyramid that push inwards: no velocity heeds all, and without one of them there is one."""
    faces = unit(np.array([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]))
    push, wish = np.full(4, 0.1), np.array([5.0, 2.0, 0.0])
    assert nearest(wish, faces, push) is None
    assert nearest(wish, faces[1:], push[1:]) is not None
    walls = [Wall((x, y, z), -0.05) for x, y, z in faces.tolist()]
    assert steer_clear((5.0, 2.0, 0.0), walls, Caution()) is None


@pytest.mark.parametrize("far", [50.0, 500.0, 1e9, 1e300])
def test_a_wish_beyond_all_limits_flies_along(far: float) -> None:
    """In a slot of many points, that wish which does not end leads along it, as a modest one does."""
    points = [(x, y, z) for x in np.arange(-6, 6, 0.7).tolist() for y in (-1.2, 1.2) for z in (1.0, 2.0, 3.0)]
    away = [np.negative(point) + (0.0, 0.0, 2.4) for point in points]
    walls = [Wall(tuple((a / np.linalg.norm(a)).tolist()), float(np.linalg.norm(a)) - 1.0) for a in away]
    clear = steer_clear((far, 0.2 * far, 0.0), walls, Caution())
    assert clear is not None
    assert clear[0] > 1
    assert all(np.dot(clear, wall.away) >= Caution().least(wall.gap) - 2e-3 for wall in walls)


def test_between_two_walls_that_touch_it_slides() -> None:
    """With no room to either side, what remains is along them; a wish that is on a wall already stays as it is."""
    slot = [Wall((0.0, 1.0, 0.0), 0.0), Wall((0.0, -1.0, 0.0), 0.0)] * 3
    assert steer_clear((300.0, 400.0, 5.0), slot, Caution()) == pytest.approx((300, 0, 5))
    assert steer_clear((300.0, 0.0, 5.0), slot, Caution()) == (300, 0, 5)
    assert steer_clear((-1.0, 0.0, 0.0), [Wall((1.0, 0.0, 0.0), 1.0)] * 9, Caution()) == (-1, 0, 0)


def test_what_is_no_number_is_not_flown() -> None:
    """No wish can hold one, and to a wall that does there is no heeding velocity."""
    with pytest.raises(BadInput, match="finite"):
        Velocity((math.nan, 0.0, 0.0))
    for wall in (Wall((1.0, 0.0, 0.0), math.nan), Wall((math.nan, 0.0, 0.0), 1.0)):
        assert steer_clear((1.0, 0.0, 0.0), [wall, Wall((0.0, 1.0, 0.0), 1.0)], Caution()) is None
