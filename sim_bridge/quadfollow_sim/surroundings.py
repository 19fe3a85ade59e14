"""What stands around the vehicle: a small query that a world, a map or a depth camera can answer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

from quadfollow_sim.world import Point


class Surroundings(Protocol):
    """What is near a point of the world frame, metres."""

    def obstacles(self, point: Point, reach: float) -> Sequence[Point]:
        """Of each solid thing within reach, the surface point nearest to ``point``."""

    def people(self, point: Point, reach: float) -> Sequence[Point]:
        """The middles of the people within reach."""


class Scattered:
    """Things and people at fixed places: the public fake of this seam. Without any it is an open field."""

    def __init__(self, obstacles: Sequence[Point] = (), people: Sequence[Point] = ()) -> None:
        self._obstacles = tuple(obstacles)
        self._people = tuple(people)

    def obstacles(self, point: Point, reach: float) -> Sequence[Point]:
        """The obstacles within reach."""
        return [place for place in self._obstacles if math.dist(place, point) <= reach]

    def people(self, point: Point, reach: float) -> Sequence[Point]:
        """The people within reach."""
        return [place for place in self._people if math.dist(place, point) <= reach]
