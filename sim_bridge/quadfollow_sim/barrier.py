"""Keep a velocity out of walls: the nearest velocity that closes on none of them too fast.

Each wall allows the approach that can still be braked before it: at most ``gain · gap``, the control-barrier
condition (Ames et al., *Control Barrier Functions: Theory and Applications*, ECC 2019), and at most
``sqrt(2 · brake · gap)``. All walls together are half-spaces of velocity; Dykstra's algorithm (Boyle and Dykstra
1986) finds their nearest common point. Where it has not come to one in its rounds, as with a wish far beyond what so
many walls allow, the point is computed exactly from the three walls at most that it lies on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from quadfollow_core.errors import BadInput
from quadfollow_core.geometry import Vector
from quadfollow_sim.world import Point

ROUNDS = 50
"""Most rounds through the walls."""
TOLERANCE = 1e-3
"""Metres per second by which a wall may be missed."""
EXACT = 1e-6
"""The same where the point is computed."""
FARTHEST = 1e3
"""Metres per second in each direction beyond which only the direction of a wish counts, for lack of digits."""
ALIKE = 1e-9
"""Radians between two walls that are taken for one."""


@dataclass(frozen=True, slots=True)
class Wall:
    """Something to keep away from."""

    away: Point
    """Unit vector from it to the vehicle, world frame."""
    gap: float
    """Metres left to its margin; below zero inside."""


@dataclass(frozen=True, slots=True)
class Caution:
    """How fast a wall may be closed on, and left."""

    gain: float = 1.0
    """Metres per second of approach per metre of gap; of retreat, twice as much."""
    brake: float = 1.5
    """Metres per second squared that the vehicle surely brakes with."""
    retreat: float = 2.0
    """Fastest retreat asked for inside a margin, metres per second."""

    def __post_init__(self) -> None:
        if not all(0 < number < math.inf for number in (self.gain, self.brake, self.retreat)):
            raise BadInput(f"caution takes positive numbers, got {self}")

    def least(self, gap: float) -> float:
        """The least velocity away from a wall at this gap, metres per second."""
        if gap < 0:
            return min(self.retreat, -2 * self.gain * gap)
        return -min(self.gain * gap, math.sqrt(2 * self.brake * gap))


def wall_from(obstacle: Point, point: Point, margin: float) -> Wall:
    """The wall that an obstacle's nearest point is to a vehicle at ``point``; straight below if they coincide."""
    distance = math.dist(point, obstacle)
    if distance == 0:
        return Wall((0.0, 0.0, 1.0), -margin)
    x, y, z = ((mine - its) / distance for mine, its in zip(point, obstacle, strict=True))
    return Wall((x, y, z), distance - margin)


def steer_clear(velocity: Point, walls: Sequence[Wall], caution: Caution) -> Point | None:
    """The velocity nearest to the one wished for that heeds all walls; None where none is found."""
    if not walls:
        return velocity
    wish = np.array(velocity, dtype=np.float64)
    normals = np.array([wall.away for wall in walls])
    least = np.array([caution.least(wall.gap) for wall in walls])
    found: Vector | None = _project(wish, normals, least)
    if not np.all(normals @ found >= least - TOLERANCE):
        found = nearest(wish * (FARTHEST / max(FARTHEST, *np.abs(wish))), normals, least)
    if found is None:
        return None
    x, y, z = (float(value) for value in found)
    return x, y, z


def _project(start: Vector, normals: Vector, least: Vector) -> Vector:
    """Dykstra's algorithm for half-spaces ``normals @ v >= least``: each wall's push is undone before it is redone."""
    found, pushes = start, np.zeros(len(least))
    for _ in range(ROUNDS):
        before = found
        for index, normal in enumerate(normals):
            freed = found - pushes[index] * normal
            pushes[index] = max(0.0, float(least[index] - normal @ freed))
            found = freed + pushes[index] * normal
        if np.max(np.abs(found - before)) < TOLERANCE / 100 and np.all(normals @ found >= least - TOLERANCE):
            break
    return found


def nearest(wish: Vector, normals: Vector, least: Vector) -> Vector | None:
    """The velocity ``(3,)`` nearest to the wish with ``normals @ v >= least``, exactly; None where there is none.

    Normals ``(n, 3)`` are unit vectors, all else is in metres per second. An active-set search: the wall missed by most
    joins those that the point lies on, and the nearest point that heeds these four at most is the next one. Each is
    farther from the wish than the last, so no set of walls comes twice.
    """
    found, touched = wish, list[int]()
    for _ in range(ROUNDS):
        slack = normals @ found - least
        worst = int(np.argmin(slack))
        if slack[worst] >= -EXACT:
            return found
        if np.isnan(slack[worst]):
            return None
        few = [*touched, worst]
        points = [
            (math.dist(point, wish), some, point)
            for size in range(3)
            for some in ([*others, worst] for others in combinations(touched, size))
            if np.all(normals[few] @ (point := _on(wish, normals[some], least[some])) >= least[few] - EXACT)
        ]
        if not points:
            return None
        _, touched, found = min(points, key=lambda each: each[0])
    return None


def _on(wish: Vector, normals: Vector, least: Vector) -> Vector:
    """The point nearest to the wish that lies on all of these walls, one to three of them."""
    push = np.linalg.lstsq(normals, least - normals @ wish, rcond=ALIKE)[0]
    return wish + push.astype(np.float64)


def closing_speed(velocity: Point, wall: Wall) -> float:
    """Metres per second at which the wall is approached, negative when left."""
    return -float(np.dot(velocity, wall.away))
