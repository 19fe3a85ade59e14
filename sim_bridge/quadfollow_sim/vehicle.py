"""The seam between the follow controller and what flies: three commands, and what a vehicle says of itself."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from quadfollow_core.errors import BadInput
from quadfollow_sim.world import Point


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
    """m/s in the world frame."""
    yaw_rate: float = 0.0
    """rad/s, counter-clockwise seen from above."""
    tilt: float | None = None
    """The camera's angle below the horizon in radians; None leaves it as it is."""

    def __post_init__(self) -> None:
        _require_finite("a velocity", (*self.linear, self.yaw_rate, self.tilt or 0.0))


@dataclass(frozen=True, slots=True)
class Brake:
    """Stop as soon as limits allow, and stay there."""


Command = Follow | Velocity | Brake


@runtime_checkable
class Vehicle(Protocol):
    """Something that flies: the last command holds until the next one."""

    def command(self, command: Command) -> None:
        """Take a command."""


def _require_finite(what: str, values: tuple[float, ...]) -> None:
    if not all(math.isfinite(value) for value in values):
        raise BadInput(f"{what} takes finite numbers, got {values}")
