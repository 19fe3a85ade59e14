"""The camera under the quadrotor: level whatever the body does, turned with its heading, tilted on command."""

from __future__ import annotations

import math

from quadfollow_core.geometry import Pose
from quadfollow_sim.city.physics import State

MOUNT = (0.12, 0.0, -0.06)
"""The optical centre in body axes, metres."""
LOWEST, HIGHEST = math.radians(85), math.radians(-30)
_RATE = 1.5
"""Fastest tilt, rad/s."""
_LAG = 0.08
"""Time constant of the tilt, seconds."""


class Gimbal:
    """One tilting axis, stabilised in roll and pitch."""

    def __init__(self) -> None:
        self.tilt = 0.3
        """Radians below the horizon."""

    def turn(self, wanted: float, duration: float) -> None:
        """Move towards a tilt for ``duration`` seconds."""
        step = (min(max(wanted, HIGHEST), LOWEST) - self.tilt) * (1 - math.exp(-duration / _LAG))
        self.tilt += min(max(step, -_RATE * duration), _RATE * duration)

    def pose(self, state: State) -> Pose:
        """Return ``world_from_camera``."""
        x, y, z = (float(value) for value in state.position + state.rotation @ MOUNT)
        return Pose.from_rpy((x, y, z), 0.0, self.tilt, state.yaw)
