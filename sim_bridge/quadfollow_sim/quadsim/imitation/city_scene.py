"""The embedded city as the scene an imitated QuadSim flies in: its hero is the city's target."""

from __future__ import annotations

from collections import deque

import numpy as np

from quadfollow_core.geometry import Camera
from quadfollow_core.resize import TARGET
from quadfollow_sim.city.city import start_place
from quadfollow_sim.city.looks import draw_setting
from quadfollow_sim.city.renderer import Renderer
from quadfollow_sim.city.scene import FAR
from quadfollow_sim.quadsim.imitation.quad import PATROL_HEIGHT, Quad
from quadfollow_sim.quadsim.imitation.scene import SIZE, Hero, Picture
from quadfollow_sim.world import Point

TRUNK = 0.25
"""Radius of what a trunk hides, metres."""
STEPS = 60
"""Points of a line of sight that are looked at."""
KEPT = 1000
PATROL = ((0.0, 0.0), (2.0, 0.0), (2.0, 2.0), (0.0, 2.0))
"""A small round, since QuadSim flies through whatever stands in its way."""


class CityScene:
    """A city of a preset and a seed; make and use it in one thread."""

    def __init__(self, preset: str = "street", seed: int = 0) -> None:
        self.visible: deque[int] = deque(maxlen=KEPT)
        """Pixels of the target in each of the last pictures."""
        self._setting = draw_setting(preset, seed)
        self._renderer = Renderer(self._setting, SIZE)
        self._time = 0.0

    def advance(self, seconds: float) -> None:
        """Let everybody walk on."""
        self._time += seconds

    def hero(self) -> Hero:
        """Say where the target stands and where she walks to."""
        x, y, z = (float(value) for value in self._setting.crowd.feet(self._time)[0])
        return Hero((x, y, z), float(self._setting.crowd.headings(self._time)[0]))

    def sees(self, eye: Point, point: Point) -> bool:
        """Say whether no house and no trunk stands between two points."""
        share = np.linspace(0, 1, STEPS)[:, None]
        x, y, z = (np.array(eye) * (1 - share) + np.array(point) * share).T
        plan = self._setting.plan
        walls = [(house.outline.distance(x, y) < 0) & (z < house.height) for house in plan.buildings]
        trunks = [np.hypot(x - tree.position[0], y - tree.position[1]) < TRUNK for tree in plan.trees]
        return not np.any([*walls, *trunks])

    def render(self, camera: Camera) -> Picture:
        """Draw what a camera sees; what lies at the far plane is sky."""
        self._renderer.pose_people(self._time)
        picture = self._renderer.render(camera)
        self.visible.append(int((picture.classes == TARGET).sum()))
        return Picture(picture.rgb, np.where(picture.depth < 0.999 * FAR, picture.depth, np.inf))

    def close(self) -> None:
        """Give back the OpenGL context."""
        self._renderer.close()


def quad_near_target(preset: str = "street", seed: int = 0) -> Quad:
    """A quadcopter some metres from where the target begins, in the clear, that looks at her and patrols there."""
    (x, y, _), yaw = start_place(draw_setting(preset, seed))
    points = tuple((float(x) + east, float(y) + north) for east, north in PATROL)
    return Quad((*points[0], PATROL_HEIGHT), yaw, yaw, points=points)
