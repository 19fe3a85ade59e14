"""The city as a world to fly in: :class:`quadfollow_sim.airspace.Airspace` over a city."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from quadfollow_core.codec import encode_jpeg
from quadfollow_core.locate import Depth
from quadfollow_sim.city.city import City, CityView
from quadfollow_sim.city.fields import Box
from quadfollow_sim.city.looks import Setting
from quadfollow_sim.city.mesh import Floats
from quadfollow_sim.city.plan import REACH
from quadfollow_sim.city.scene import FAR
from quadfollow_sim.safety import Fence
from quadfollow_sim.vehicle import Command, OwnState
from quadfollow_sim.world import Observation, Point

FENCE = Fence(-REACH, REACH, -REACH, REACH)
"""The city's edge."""
TRUNK = 0.3
"""Radius of a tree's trunk with its lowest twigs, metres."""
POST = 0.1
"""Radius of a post or a sign, metres."""
DEPTH_SCALE = 0.002
"""Metres per unit of the 16-bit depth."""


class CityAirspace:
    """A city, its quadrotor and its clock.

    Args:
        city: with pictures.
        with_depth: whether the camera measures depth.
    """

    def __init__(self, city: City, *, with_depth: bool = True) -> None:
        self.city = city
        self.surroundings = CitySurroundings(city)
        self._with_depth = with_depth
        self._reached = 0.0
        self._count = 0

    @property
    def time(self) -> float:
        """Simulated seconds since the start."""
        return self.city.time

    @property
    def own(self) -> OwnState:
        """The quadrotor's state."""
        state = self.city.state
        return OwnState(_point(state.position), _point(state.velocity), state.yaw, self.city.tilt)

    @property
    def collisions(self) -> tuple[str, ...]:
        """The kind of each thing touched, in order."""
        return tuple(collision.kind for collision in self.city.collisions)

    def advance(self, time: float) -> None:
        """Step until ``time``."""
        if time > self._reached:
            self.city.step(time - self._reached)
            self._reached = time

    def capture(self) -> Observation:
        """Draw what the camera sees now."""
        name = f"city_{self.city.setting.preset.name}_{self.city.setting.seed}_{self._count:05d}"
        self._count += 1
        return _observed(self.city.observe(), name, with_depth=self._with_depth)

    def command(self, command: Command) -> None:
        """Give the quadrotor a command."""
        self.city.command(command)

    def close(self) -> None:
        """Give back what drawing took."""
        self.city.close()


class CitySurroundings:
    """The city's map and its people, the target left out: houses, trunks, beds, posts and signs."""

    def __init__(self, city: City) -> None:
        self._city = city
        self._houses = [(house.outline, house.height) for house in city.setting.plan.buildings]
        self._pillars = _pillars(city.setting)

    def obstacles(self, point: Point, reach: float) -> list[Point]:
        """Of each solid thing within reach, the surface point nearest to ``point``."""
        at = np.array(point)
        near = [_nearest_of_house(at, outline, height) for outline, height in self._houses]
        away = at[:2] - self._pillars[:, :2]
        level = np.maximum(np.hypot(away[:, 0], away[:, 1]), 1e-6)
        share = np.minimum(1.0, self._pillars[:, 2] / level)[:, None]
        heights = np.clip(at[2], 0.0, self._pillars[:, 3])
        near += list(np.column_stack([self._pillars[:, :2] + away * share, heights]))
        return [_point(place) for place in near if math.dist(place, point) <= reach]

    def people(self, point: Point, reach: float) -> list[Point]:
        """The middles of the others within reach."""
        middles = self._city.setting.crowd.middles(self._city.time)[1:]
        return [_point(place) for place in middles if math.dist(place, point) <= reach]


def _observed(view: CityView, name: str, *, with_depth: bool) -> Observation:
    """A view as a JPEG with its truth."""
    return Observation(
        image=encode_jpeg(view.picture.rgb),
        name=name,
        captured=view.time,
        camera=view.camera,
        depth=_depth(view.picture.depth) if with_depth else None,
        truth=view.picture.classes,
        target=_point(view.target),
    )


def _depth(metres: NDArray[np.float32]) -> Depth:
    """Depth as 16-bit values of 2 mm; what lies at the far plane carries no measurement."""
    values = np.round(metres / DEPTH_SCALE).astype(np.uint16)
    return Depth(values, DEPTH_SCALE, max_value=round(0.99 * FAR / DEPTH_SCALE))


def _pillars(setting: Setting) -> Floats:
    """All that is round and stands upright: x, y, radius, height."""
    plan = setting.plan
    rows = [(*tree.position, TRUNK, 0.75 * tree.height) for tree in plan.trees]
    rows += [(*bed.disc.center, bed.disc.radius, max(0.35, 0.8 * bed.bush)) for bed in plan.beds]
    rows += [(*post, POST, 5.2) for post in plan.posts]
    rows += [(x, y, POST, 2.7) for x, y, _ in plan.signs]
    return np.array(rows, dtype=np.float64).reshape(-1, 4)


def _nearest_of_house(at: Floats, outline: Box, height: float) -> Floats:
    """The point of a house's block nearest to a place; inside it, the place itself."""
    cos, sin = math.cos(outline.yaw), math.sin(outline.yaw)
    turn = np.array([[cos, sin], [-sin, cos]])
    local = np.clip(turn @ (at[:2] - outline.center), -np.array(outline.half), outline.half)
    return np.array([*(turn.T @ local + outline.center), min(max(at[2], 0.0), height)])


def _point(values: Floats) -> Point:
    x, y, z = (float(value) for value in values)
    return x, y, z
