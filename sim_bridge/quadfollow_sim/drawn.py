"""A short walk through a drawn street: the world of the demo where no city can be drawn.

The woman in red walks along the pavement and the camera follows her at 2 to 4 m, falls back to 11 m, loses her
behind a lamp post and a passer-by, looks away, and comes back. Other people walk by, nearer and farther. All of it is
a function of time and a seed, so every frame comes with its truth: class mask, depth, camera pose and where she is.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quadfollow_core.codec import encode_jpeg
from quadfollow_core.errors import BadInput
from quadfollow_core.geometry import Camera
from quadfollow_core.locate import Depth
from quadfollow_sim.painter.canvas import DEPTH_SCALE, Canvas, Colour, Solid, View
from quadfollow_sim.painter.figure import MIDDLE, STRIDE, TARGET_OUTFIT, Outfit, Person
from quadfollow_sim.painter.ground import Ground
from quadfollow_sim.painter.props import BRICK, LEAVES, STUCCO, house, kerb_ring, post, tree
from quadfollow_sim.walk import LENGTH, PACE, SIZE, camera_at, target_at
from quadfollow_sim.world import Observation, Point


@dataclass(frozen=True, slots=True)
class Drawing:
    """One drawn frame and its truth."""

    image: NDArray[np.uint8]
    """``(H, W, 3)`` uint8 RGB, before JPEG."""
    mask: NDArray[np.uint8]
    """``(H, W)`` class mask."""
    depth: Depth | None
    camera: Camera
    target: Point
    """The middle of the target's body in the world frame."""


@dataclass(frozen=True, slots=True)
class _Walker:
    """Somebody who walks straight on: place at time 0, heading in radians, speed in m/s."""

    person: Person
    x: float
    y: float
    heading: float
    speed: float

    def solid(self, seconds: float) -> Solid:
        way = self.speed * seconds
        x, y = self.x + way * math.cos(self.heading), self.y + way * math.sin(self.heading)
        return self.person.solid(x, y, self.heading, 2 * math.pi * (way + self.x) / STRIDE)


class DrawnStreet:
    """The street and everybody in it; :meth:`draw` shows any moment of the walk."""

    def __init__(self, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self._ground = Ground(seed)
        self._target = Person(TARGET_OUTFIT)
        self._houses = _houses()
        self._props = _props(rng)
        self._walkers = _walkers(rng)

    def draw(self, seconds: float, *, with_depth: bool = True) -> Drawing:
        """Draw the street at a time of the walk."""
        camera = camera_at(seconds)
        view = View(camera, SIZE, SIZE)
        canvas = Canvas(view, self._ground.backdrop(view))
        canvas.paint(self._houses)
        x, y, heading = target_at(seconds)
        target = self._target.solid(x, y, heading, 2 * math.pi * PACE * seconds / STRIDE)
        canvas.paint([*self._props, *(walker.solid(seconds) for walker in self._walkers), target])
        depth = Depth(canvas.depth(), DEPTH_SCALE) if with_depth else None
        return Drawing(canvas.image(), canvas.mask(), depth, camera, (x, y, MIDDLE))


class DrawnSource:
    """The drawn street as a world: ``seconds`` of the walk at ``rate``, each frame a JPEG with its truth.

    Args:
        seconds: how long to show; the walk repeats after LENGTH.
        rate: frames per second.
        seed: of the slabs, trees, clothes and passers-by.
        with_depth: whether the camera measures depth too.
    """

    def __init__(self, seconds: float = LENGTH, *, rate: float = 20.0, seed: int = 0, with_depth: bool = False) -> None:
        if not (seconds > 0 and rate > 0):
            raise BadInput(f"seconds and rate must be above zero, got {seconds} and {rate}")
        self._street = DrawnStreet(seed)
        self._rate = rate
        self._count = max(1, round(seconds * rate))
        self._next = 0
        self._with_depth = with_depth

    @property
    def rate(self) -> float:
        """Frames per second."""
        return self._rate

    def read(self, skip: int = 0) -> Observation | None:
        """Draw the next frame after ``skip`` others; None at the end."""
        number = self._next + skip
        self._next = number + 1
        if number >= self._count:
            return None
        drawing = self._street.draw(number / self._rate % LENGTH, with_depth=self._with_depth)
        return Observation(
            encode_jpeg(drawing.image),
            f"drawn_{number:05d}",
            time.monotonic(),
            drawing.camera,
            drawing.depth,
            drawing.mask,
            drawing.target,
        )

    def close(self) -> None:
        """Nothing to give back."""


def _houses() -> list[Solid]:
    plan = [(-14.0, BRICK), (2.0, STUCCO), (16.0, BRICK), (31.0, (150, 140, 132))]
    left = [house(x, 11.0, 11.0, 8.0, 6.5, colour) for x, colour in plan]
    right = [house(x + 5, -24.0, 12.0, 9.0, 7.5, colour) for x, colour in reversed(plan)]
    end = house(46.0, -14.0, 8.0, 30.0, 7.0, STUCCO)
    return [solid for walls in [*left, *right, end] for solid in walls]


def _props(rng: np.random.Generator) -> list[Solid]:
    solids = []
    for index, x in enumerate((-9.0, 0.5, 8.0, 15.5, 24.0, 33.0)):
        solids += tree(x, 7.6 + float(rng.uniform(-0.8, 0.8)), float(rng.uniform(4.5, 6)), _leaf(index), rng)
        solids += tree(x + 4, -13.5, float(rng.uniform(4.5, 6)), _leaf(index + 2), rng)
    solids += [*kerb_ring(6.5, 4.6, 1.3, rng), *kerb_ring(21.0, 4.2, 1.5, rng)]
    return [*solids, _lamp_in_the_way(0.30)]


def _leaf(index: int) -> Colour:
    return LEAVES[index % len(LEAVES)]


def _lamp_in_the_way(share: float) -> Solid:
    """A lamp post that stands between camera and target at a share of the walk."""
    camera = camera_at(share * LENGTH)
    x, y, _ = target_at(share * LENGTH)
    assert camera.pose is not None
    there = camera.pose.position
    return post(there[0] + 0.62 * (x - there[0]), there[1] + 0.62 * (y - there[1]), 0.07, 5.0)


def _walkers(rng: np.random.Generator) -> list[_Walker]:
    """The passers-by: one crosses right in front of the target when she is far, one passes close to the camera."""
    crossing = 0.55 * LENGTH
    x, y, _ = target_at(crossing)
    plan = [
        # x, y at the start, heading, speed
        (x - 2.2, y - 1.4 * crossing, math.pi / 2, 1.4),
        (14.0, 2.4, math.pi, 1.5),
        (22.0, -1.2, math.pi, 1.35),
        (1.5, 3.4, 0.05, 1.3),
        (9.0, 6.5, 0.9 * math.pi, 1.1),
        (4.0, -1.9, 0.0, 1.58),
        (30.0, 3.0, math.pi, 1.2),
        (12.0, -8.0, 0.1, 1.58),
        (-6.0, -11.0, 0.0, 1.4),
    ]
    return [_Walker(Person(_outfit(index, rng)), *row) for index, row in enumerate(plan)]


def _outfit(index: int, rng: np.random.Generator) -> Outfit:
    hair = [(28, 24, 22), (74, 52, 34), (120, 116, 108), (22, 60, 56), (150, 122, 70)]
    tops = [(38, 44, 58), (52, 58, 48), (30, 50, 96), (150, 152, 150), (60, 60, 64), (176, 96, 30)]
    legs = [(36, 38, 46), (58, 54, 48), (24, 26, 28), (84, 82, 76)]
    tan = float(rng.uniform(0.55, 1.1))
    return Outfit(
        hair=hair[index % len(hair)],
        top=tops[index % len(tops)],
        legs=legs[index % len(legs)],
        shoes=[(30, 30, 32), (150, 150, 148)][index % 2],
        skin=(round(176 * tan), round(138 * tan), round(116 * tan)),
        sleeves=tops[index % len(tops)] if index % 3 else None,
        long_hair=index % 3 == 2,
        height=float(rng.uniform(1.6, 1.82)),
        grain=index + 1,
    )
