"""What the vehicle may be asked for: speed, acceleration, yaw rate, gimbal range.

The velocities allowed are a cylinder (horizontal speed, climb rate). It is convex, so a change cut short on the way
from one velocity inside to another stays inside.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from quadfollow_core.errors import BadInput
from quadfollow_sim.vehicle import Velocity
from quadfollow_sim.world import Point


@dataclass(frozen=True, slots=True)
class Limits:
    """Metres, seconds, radians."""

    speed: float = 5.0
    """Horizontal."""
    climb: float = 1.5
    """Vertical, up and down."""
    acceleration: float = 3.0
    """Of the commanded velocity."""
    yaw_rate: float = 1.5
    gimbal: tuple[float, float] = (-0.35, 1.4)
    """Least and greatest pitch, down positive."""

    def __post_init__(self) -> None:
        rates = (self.speed, self.climb, self.acceleration, self.yaw_rate)
        if not all(0 < rate < math.inf for rate in rates) or not -1.6 <= self.gimbal[0] < self.gimbal[1] <= 1.6:
            raise BadInput(f"limits are positive numbers and a gimbal range within a right angle, got {self}")

    def cut(self, velocity: Point) -> Point:
        """The nearest velocity in direction that is allowed: horizontal and vertical each cut to its limit."""
        x, y, z = velocity
        level = math.hypot(x, y)
        share = 1.0 if level <= self.speed else self.speed / level
        return x * share, y * share, clamp(z, -self.climb, self.climb)

    def apply(self, wish: Velocity, before: Point, seconds: float) -> Velocity:
        """What may be commanded ``seconds`` after the velocity ``before``."""
        start, end = self.cut(before), self.cut(wish.linear)
        change = math.dist(start, end)
        most = self.acceleration * seconds
        share = 1.0 if change <= most else most / change
        x, y, z = (a + (b - a) * share for a, b in zip(start, end, strict=True))
        yaw_rate = clamp(wish.yaw_rate, -self.yaw_rate, self.yaw_rate)
        return Velocity((x, y, z), yaw_rate, None if wish.tilt is None else clamp(wish.tilt, *self.gimbal))


def clamp(value: float, low: float, high: float) -> float:
    """The nearest number between ``low`` and ``high``."""
    return min(max(value, low), high)
