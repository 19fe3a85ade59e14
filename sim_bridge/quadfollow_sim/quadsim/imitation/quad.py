"""How QuadSim's quadcopter moves: no flight dynamics, a patrol until told of a target, then the true hero's shadow."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

import numpy as np

from quadfollow_core.geometry import Camera, Intrinsics
from quadfollow_sim.quadsim.frames import FOV
from quadfollow_sim.quadsim.imitation.scene import SIZE, Hero, Scene
from quadfollow_sim.quadsim.pose import Attitude, wrap
from quadfollow_sim.world import Point

BEHIND, ABOVE = 2.0, 3.0
"""Metres behind and above the hero's feet at which the quadcopter aims."""
MAX_SPEED = 15.0
FOLLOW_SLOWS, PATROL_SLOWS = 10.0, 5.0
"""Metres to the goal below which speed shrinks in proportion."""
TURN = math.radians(90)
SWEEP = math.radians(35)
SWEEP_CONE = math.pi
SWEEP_PITCH = math.radians(30)
VIEW_CONE = math.radians(60)
"""Largest angle between the view axis and the hero at which a detection is believed: the whole field of view."""
CAMERA_BELOW = 0.11
ARRIVED = 0.05
PATROL = ((0.0, 0.0), (12.0, 0.0), (24.0, 0.0), (24.0, 12.0), (24.0, 24.0), (12.0, 24.0), (0.0, 24.0), (0.0, 12.0))
PATROL_HEIGHT = 3.0


class State(Enum):
    """What the quadcopter is about."""

    LOOKING = "patrol, turning once on the spot"
    PATROL = "patrol"
    FOLLOW = "follow"


@dataclass(slots=True)
class Quad:
    """The quadcopter and its gimbal: metres, radians, world frame.

    ``points`` is the patrol's loop; QuadSim's own has nine points.
    """

    position: Point = (0.0, 0.0, PATROL_HEIGHT)
    heading: float = 0.0
    camera_yaw: float = 0.0
    camera_pitch: float = SWEEP_PITCH
    state: State = State.LOOKING
    points: tuple[tuple[float, float], ...] = PATROL
    turned: float = 0.0
    """Radians that the gimbal has turned in its present sweep."""
    sweep: float = -SWEEP
    """Speed of the sweep, radians per second, clockwise at first."""
    goal: int = 0

    def camera(self) -> Camera:
        """The camera as it is now."""
        return Camera(Intrinsics.from_fov(SIZE, SIZE, FOV), self.eye().camera_pose())

    def eye(self) -> Attitude:
        """The camera's place and attitude; it never rolls."""
        x, y, z = self.position
        return Attitude((x, y, z - CAMERA_BELOW), 0.0, self.camera_pitch, wrap(self.camera_yaw))

    def body(self) -> Attitude:
        """The body's place and attitude: it stays level."""
        return Attitude(self.position, 0.0, 0.0, wrap(self.heading))

    def detect(self, scene: Scene) -> bool:
        """React to a detection: follow, but only if the true hero is in sight; say whether it is."""
        hero, eye = scene.hero(), self.eye()
        if not scene.sees(eye.position, hero.chest) or self._off_axis(hero) >= VIEW_CONE:
            return False
        self.state = State.FOLLOW
        return True

    def lose(self) -> None:
        """Go back to the patrol, which begins with a look around; nothing changes on patrol."""
        if self.state is State.FOLLOW:
            self.state, self.turned, self.sweep = State.LOOKING, 0.0, -SWEEP

    def step(self, seconds: float, hero: Hero) -> None:
        """Move for a short time."""
        if self.state is State.FOLLOW:
            self._follow(seconds, hero)
        elif self.state is State.LOOKING:
            self._look_around(seconds)
        else:
            self._patrol(seconds)

    def _follow(self, seconds: float, hero: Hero) -> None:
        x, y, z = hero.feet
        goal = (x - BEHIND * math.cos(hero.heading), y - BEHIND * math.sin(hero.heading), z + ABOVE)
        self._fly(goal, FOLLOW_SLOWS, seconds)
        self._turn_towards(hero.feet, seconds)
        eye = self.eye().position
        dx, dy, dz = (to - at for to, at in zip(hero.chest, eye, strict=True))
        self.camera_yaw, self.camera_pitch = math.atan2(dy, dx), math.atan2(-dz, math.hypot(dx, dy))

    def _look_around(self, seconds: float) -> None:
        self.camera_yaw += self.sweep * seconds
        self.turned += abs(self.sweep) * seconds
        if self.turned >= math.tau:
            self.state, self.turned = State.PATROL, 0.0
            self.camera_yaw, self.camera_pitch = 0.0, SWEEP_PITCH
            self.goal = min(range(len(self.points)), key=lambda index: math.dist(self.points[index], self.position[:2]))

    def _patrol(self, seconds: float) -> None:
        self.turned += self.sweep * seconds
        if abs(self.turned) > SWEEP_CONE:
            self.turned = math.copysign(SWEEP_CONE, self.turned)
            self.sweep = -self.sweep
        self.camera_yaw = self.turned
        goal = (*self.points[self.goal], PATROL_HEIGHT)
        if math.dist(goal, self.position) < ARRIVED:
            self.goal = (self.goal + 1) % len(self.points)
            return
        self._fly(goal, PATROL_SLOWS, seconds)
        self._turn_towards(goal, seconds)

    def _fly(self, goal: Point, slows: float, seconds: float) -> None:
        way = np.subtract(goal, self.position)
        distance = float(np.linalg.norm(way))
        step = min(MAX_SPEED * min(1.0, distance / slows) * seconds, distance)
        if distance > 1e-9:
            x, y, z = (float(at + part * step / distance) for at, part in zip(self.position, way, strict=True))
            self.position = (x, y, z)

    def _turn_towards(self, point: Point, seconds: float) -> None:
        dx, dy = point[0] - self.position[0], point[1] - self.position[1]
        if math.hypot(dx, dy) > 1e-6:
            off = wrap(math.atan2(dy, dx) - self.heading)
            self.heading += math.copysign(min(abs(off), TURN * seconds), off)

    def _off_axis(self, hero: Hero) -> float:
        """Angle in radians between the view axis and the hero's chest."""
        pose = self.eye().camera_pose()
        x, y, z = (float(value) for value in pose.camera_from_world(hero.chest))
        return math.atan2(math.hypot(x, y), z)
