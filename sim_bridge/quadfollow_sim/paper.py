"""An airspace cut out of paper: a red upright board walks about an empty plain. The public fake of this seam."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from quadfollow_core.geometry import Camera, Intrinsics
from quadfollow_core.locate import Depth
from quadfollow_core.resize import BACKGROUND, TARGET
from quadfollow_sim.point_mass import PointMass
from quadfollow_sim.surroundings import Scattered, Surroundings
from quadfollow_sim.vehicle import Command, OwnState
from quadfollow_sim.world import Observation, Point

SIZE = 128
"""Side of the square picture, pixels."""
LENS = Intrinsics.from_fov(SIZE, SIZE, np.pi / 3)
WIDTH, HEIGHT = 0.5, 1.6
"""Of the board, metres; it always faces the camera."""
RED, GREY = (200, 20, 20), (120, 120, 120)
FAR = 100.0
STEP = 0.01
"""Seconds of one step of the point mass."""


class PaperSpace:
    """A point mass that sees a board.

    Args:
        walk: the middle of the board at a time.
        start: where the vehicle begins, looking along x.
    """

    def __init__(self, walk: Callable[[float], Point], start: Point = (-4.0, 0.0, 2.5)) -> None:
        self.vehicle = PointMass(start)
        self.surroundings: Surroundings = Scattered()
        self.collisions: tuple[str, ...] = ()
        self._walk = walk
        self._steps = 0

    @property
    def time(self) -> float:
        """Seconds since the start."""
        return self._steps * STEP

    @property
    def own(self) -> OwnState:
        """The point mass's state."""
        return self.vehicle.state

    def advance(self, time: float) -> None:
        """Step until ``time``."""
        for _ in range(round((time - self.time) / STEP)):
            self.vehicle.step(STEP)
            self._steps += 1

    def capture(self) -> Observation:
        """Paint the board as it is seen now."""
        camera, target = self.vehicle.camera(LENS), self._walk(self.time)
        truth, depth = _paint(camera, target)
        image = np.where((truth == TARGET)[:, :, None], RED, GREY).astype(np.uint8)
        name = f"paper_{self._steps:06d}"
        return Observation(image, name, self.time, camera, Depth(depth, 1.0, FAR), truth, target)

    def command(self, command: Command) -> None:
        """Take a command."""
        self.vehicle.command(command)


def _paint(camera: Camera, target: Point) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The class mask and the planar depth of a board that stands upright at ``target``."""
    truth = np.full((SIZE, SIZE), BACKGROUND, dtype=np.uint8)
    depth = np.full((SIZE, SIZE), FAR, dtype=np.float32)
    assert camera.pose is not None
    ends = np.array(target) + np.array([[0, 0, HEIGHT / 2], [0, 0, -HEIGHT / 2]])
    seen = (ends - camera.pose.position) @ camera.pose.rotation
    if seen[:, 2].min() <= 0.1:
        return truth, depth
    lens, half = camera.intrinsics, WIDTH / 2 / seen[:, 2].mean() * camera.intrinsics.fx
    columns = lens.cx + lens.fx * seen[:, 0] / seen[:, 2]
    rows = lens.cy + lens.fy * seen[:, 1] / seen[:, 2]
    left, right = (round(float(np.clip(columns.mean() + side, 0, SIZE))) for side in (-half, half))
    top, bottom = (round(float(np.clip(row, 0, SIZE))) for row in (rows.min(), rows.max()))
    truth[top:bottom, left:right] = TARGET
    depth[top:bottom, left:right] = seen[:, 2].mean()
    return truth, depth
