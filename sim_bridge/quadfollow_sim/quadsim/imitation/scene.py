"""What the imitation flies in: the seam to a world of pictures, and a plain one with ground, sky and a walking hero."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from quadfollow_core.geometry import Camera, Pose
from quadfollow_sim.world import Point

SIZE = 256
HERO_HEIGHT = 1.6
HERO_SPEED = 1.485
SKIN, RED = (135, 108, 94), (163, 28, 28)
GROUND, GRID, SKY = np.array([(67, 120, 3), (87, 86, 84), (120, 150, 190)], dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class Hero:
    """The true hero: feet in the world frame, metres; heading in radians, counter-clockwise from x."""

    feet: Point
    heading: float

    @property
    def chest(self) -> Point:
        """The point 1 m above the feet, at which QuadSim looks."""
        x, y, z = self.feet
        return x, y, z + 1.0


@dataclass(frozen=True, slots=True)
class Picture:
    """What a camera sees: ``(H, W, 3)`` uint8 RGB, and ``(H, W)`` planar depth in metres, infinite for sky."""

    image: NDArray[np.uint8] = field(repr=False)
    depth: NDArray[np.floating] = field(repr=False)


class Scene(Protocol):
    """A world with a hero in it. The imitation makes and uses it in one thread of its own."""

    def advance(self, seconds: float) -> None:
        """Let simulated time pass."""

    def hero(self) -> Hero:
        """Say where the hero is now."""

    def sees(self, eye: Point, point: Point) -> bool:
        """Say whether nothing stands between two points of the world frame."""

    def render(self, camera: Camera) -> Picture:
        """Draw SIZE×SIZE pixels from a camera with pose."""

    def close(self) -> None:
        """Give back what drawing took, in the thread that drew."""


class ScriptedScene:
    """Flat ground, and a hero who walks along a closed path of corners ``(x, y)`` in metres.

    A hero of one corner stands still. Walls ``(x0, y0, x1, y1)`` hide what is behind them but are not drawn.
    """

    def __init__(
        self,
        path: tuple[tuple[float, float], ...] = ((6.0, 0.0), (30.0, 0.0), (30.0, 8.0), (6.0, 8.0)),
        *,
        speed: float = HERO_SPEED,
        walls: tuple[tuple[float, float, float, float], ...] = (),
    ) -> None:
        self._corners = np.array(path, dtype=np.float64)
        self._speed = speed
        self._walls = walls
        self._walked = 0.0

    def advance(self, seconds: float) -> None:
        """Let the hero walk on."""
        self._walked += self._speed * seconds

    def hero(self) -> Hero:
        """Say where the hero is now."""
        legs = np.roll(self._corners, -1, axis=0) - self._corners
        lengths = np.hypot(legs[:, 0], legs[:, 1])
        total = float(lengths.sum())
        left = self._walked % total if total else 0.0
        for corner, leg, length in zip(self._corners, legs, lengths, strict=True):
            if left < length:
                x, y = corner + leg * (left / length)
                return Hero((float(x), float(y), 0.0), math.atan2(leg[1], leg[0]))
            left -= float(length)
        return Hero((float(self._corners[0, 0]), float(self._corners[0, 1]), 0.0), 0.0)

    def sees(self, eye: Point, point: Point) -> bool:
        """Say whether no wall crosses the line, seen from above."""
        return not any(_cross(eye[:2], point[:2], wall[:2], wall[2:]) for wall in self._walls)

    def render(self, camera: Camera) -> Picture:
        """Draw ground with a grid of metres, sky, and the hero as an upright board that faces the camera."""
        if camera.pose is None:
            raise ValueError("a camera without a pose sees nothing")
        pose = camera.pose
        rays = _rays(camera)
        picture = _ground(rays, pose)
        hero = self.hero()
        if self.sees(pose.position, hero.chest):
            _draw_board(picture, rays, pose, hero)
        return picture

    def close(self) -> None:
        """Nothing to give back."""


def _rays(camera: Camera) -> NDArray[np.float64]:
    """World-frame rays with unit planar depth, ``(H, W, 3)``."""
    lens, pose = camera.intrinsics, camera.pose
    assert pose is not None
    centres = np.arange(SIZE) + 0.5
    x, y = np.meshgrid((centres - lens.cx) / lens.fx, (centres - lens.cy) / lens.fy)
    return np.asarray(np.stack([x, y, np.ones_like(x)], axis=-1) @ pose.rotation.T)


def _ground(rays: NDArray[np.float64], pose: Pose) -> Picture:
    down = rays[..., 2] < -1e-6
    depth = np.where(down, pose.position[2] / np.where(down, -rays[..., 2], 1.0), np.inf)
    with np.errstate(invalid="ignore"):
        places = np.nan_to_num(np.floor(np.asarray(pose.position) + rays * depth[..., None]), posinf=0, neginf=0)
    checks = (places[..., 0] + places[..., 1]) % 2 == 0
    image = np.where(checks[..., None], GROUND, GRID)
    return Picture(np.where(down[..., None], image, SKY), depth)


def _draw_board(picture: Picture, rays: NDArray[np.float64], pose: Pose, hero: Hero) -> None:
    """Paint the hero: 0.5 m wide, HERO_HEIGHT tall, red but for the face."""
    eye, feet = np.asarray(pose.position), np.asarray(hero.feet)
    normal = np.array([*(feet - eye)[:2], 0.0])
    normal /= max(float(np.linalg.norm(normal)), 1e-6)
    along = rays @ normal
    depth = np.where(along > 1e-6, float((feet - eye) @ normal) / np.where(along > 1e-6, along, 1.0), -1.0)
    offset = eye + rays * depth[..., None] - feet
    aside = offset @ np.array([-normal[1], normal[0], 0.0])
    height = offset[..., 2]
    hit = (depth > 0.1) & (np.abs(aside) <= 0.25) & (height >= 0) & (height <= HERO_HEIGHT)
    picture.image[hit] = RED
    picture.image[hit & (height > 1.38) & (height < 1.52)] = SKIN
    picture.depth[hit] = depth[hit]


def _cross(a: tuple[float, ...], b: tuple[float, ...], c: tuple[float, ...], d: tuple[float, ...]) -> bool:
    """Whether the line pieces a-b and c-d cross in the plane."""
    return _side(a, b, c) != _side(a, b, d) and _side(c, d, a) != _side(c, d, b)


def _side(a: tuple[float, ...], b: tuple[float, ...], c: tuple[float, ...]) -> bool:
    return (b[0] - a[0]) * (c[1] - a[1]) > (b[1] - a[1]) * (c[0] - a[0])
