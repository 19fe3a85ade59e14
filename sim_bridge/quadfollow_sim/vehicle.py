"""The seam between the follow controller and what flies: its commands, and what a vehicle says of itself.

World frame: x forward/east, y left/north, z up, metres and metres per second. Yaw is counter-clockwise from +x seen
from above; tilt is the camera's angle below the horizon. Radians.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from quadfollow_core.errors import BadInput
from quadfollow_sim.world import Point

MAX_COORDINATE = 1e7
"""Largest number that is taken for a vehicle's coordinate or speed."""


@dataclass(frozen=True, slots=True)
class OwnState:
    """Where the vehicle is, and how it moves."""

    position: Point
    velocity: Point
    yaw: float
    tilt: float

    def __post_init__(self) -> None:
        numbers = (*self.position, *self.velocity, self.yaw, self.tilt)
        if not all(abs(number) <= MAX_COORDINATE for number in numbers):
            raise BadInput(f"a vehicle's state holds numbers up to {MAX_COORDINATE:g}, got {numbers}")


@dataclass(frozen=True, slots=True)
class Follow:
    """Keep behind and above a point and look at it; the vehicle chooses its own way."""

    point: Point

    def __post_init__(self) -> None:
        _require_finite("a point to follow", self.point)


@dataclass(frozen=True, slots=True)
class Velocity:
    """Fly at a velocity."""

    linear: Point
    """Metres per second in the world frame."""
    yaw_rate: float = 0.0
    """Radians per second, counter-clockwise seen from above."""
    tilt: float | None = None
    """The camera's angle below the horizon; None leaves it as it is."""

    def __post_init__(self) -> None:
        _require_finite("a velocity", (*self.linear, self.yaw_rate, self.tilt or 0.0))


@dataclass(frozen=True, slots=True)
class Brake:
    """Stop as soon as limits allow and stay there; where there is something to look at, go on looking at it."""

    reason: str = ""
    yaw_rate: float = 0.0
    tilt: float | None = None


Steering = Velocity | Brake
"""What the pilot commands."""
Command = Follow | Steering


def _require_finite(what: str, values: tuple[float, ...]) -> None:
    if not all(math.isfinite(value) for value in values):
        raise BadInput(f"{what} takes finite numbers, got {values}")
