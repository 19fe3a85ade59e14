"""A vehicle without physics: its velocity follows the command with a lag. The public fake of a vehicle."""

from __future__ import annotations

import math

from quadfollow_core.errors import BadInput
from quadfollow_core.geometry import Camera, Intrinsics, Pose
from quadfollow_sim.limits import clamp
from quadfollow_sim.vehicle import Brake, Command, Follow, OwnState, Steering
from quadfollow_sim.world import Point


class PointMass:
    """A point that flies, with a camera that turns with it and pitches on a gimbal.

    Args:
        position: where it starts, world frame, metres.
        yaw: radians, counter-clockwise from +x.
        lag: time constant of velocity, seconds.
        gimbal_rate: fastest pitch, radians per second.
    """

    def __init__(self, position: Point, yaw: float = 0.0, *, lag: float = 0.3, gimbal_rate: float = 2.0) -> None:
        self.state = OwnState(position, (0.0, 0.0, 0.0), yaw, 0.3)
        self._command: Steering = Brake()
        self._lag = lag
        self._gimbal_rate = gimbal_rate

    def command(self, command: Command) -> None:
        """Take a command; it holds until the next one.

        Raises:
            BadInput: it is a point to follow, for which a point mass knows no way of its own.
        """
        if isinstance(command, Follow):
            raise BadInput("a point mass flies velocities: it does not follow points by itself")
        self._command = command

    def step(self, seconds: float) -> None:
        """Fly on for a while (exact for a first-order lag in velocity, to first order in position)."""
        state, command = self.state, self._command
        goal = (0.0, 0.0, 0.0) if isinstance(command, Brake) else command.linear
        share = 1 - math.exp(-seconds / self._lag)
        vx, vy, vz = (v + (g - v) * share for v, g in zip(state.velocity, goal, strict=True))
        x, y, z = (p + v * seconds for p, v in zip(state.position, (vx, vy, vz), strict=True))
        yaw = math.remainder(state.yaw + command.yaw_rate * seconds, math.tau)
        self.state = OwnState((x, y, z), (vx, vy, vz), yaw, self._tilted(command.tilt, seconds))

    def _tilted(self, goal: float | None, seconds: float) -> float:
        tilt, most = self.state.tilt, self._gimbal_rate * seconds
        return tilt if goal is None else tilt + clamp(goal - tilt, -most, most)

    def camera(self, lens: Intrinsics) -> Camera:
        """Its camera now."""
        return Camera(lens, Pose.from_rpy(self.state.position, 0.0, self.state.tilt, self.state.yaw))
