"""From commands to set-points: what the quadrotor itself does with Follow, Velocity and Brake."""

from __future__ import annotations

import math

import numpy as np

from quadfollow_sim.city.flight import Setpoint
from quadfollow_sim.city.gimbal import MOUNT
from quadfollow_sim.city.physics import State
from quadfollow_sim.vehicle import Brake, Command, Follow, Velocity
from quadfollow_sim.world import Point

DISTANCE, ABOVE = 4.0, 1.4
"""Where Follow keeps: metres away on the level, and above the point."""
STOPPED = 0.25
"""Speed in m/s below which a braking quadrotor notes its place and holds it."""


class Pilot:
    """Holds the last command and turns it into set-points."""

    def __init__(self, state: State) -> None:
        self._command: Command = Brake()
        self._held: Point | None = _point(state)
        self._yaw = state.yaw

    def command(self, command: Command, state: State) -> None:
        """Take a command; a brake that looks at nothing keeps the heading and the camera's tilt."""
        if isinstance(command, Brake):
            if not isinstance(self._command, Brake):
                self._held = None
            if not _is_holding_heading(self._command):
                self._yaw = state.yaw
        self._command = command

    def steer(self, state: State, tilt: float) -> tuple[Setpoint, float]:
        """Return the set-point for now, and the camera's tilt in radians, given the tilt it has."""
        match self._command:
            case Velocity(linear, yaw_rate, wanted):
                return Setpoint(linear, yaw_rate=yaw_rate), tilt if wanted is None else wanted
            case Follow(point):
                return _follow(state, point)
            case Brake(_, yaw_rate, wanted):
                return self._hold(state, yaw_rate), tilt if wanted is None else wanted

    def _hold(self, state: State, yaw_rate: float) -> Setpoint:
        """Stop and stay, at the held heading or turning at ``yaw_rate``."""
        if self._held is None and np.linalg.norm(state.velocity) < STOPPED:
            self._held = _point(state)
        return Setpoint(position=self._held, yaw=None if yaw_rate else self._yaw, yaw_rate=yaw_rate)


def _is_holding_heading(command: Command) -> bool:
    return isinstance(command, Brake) and not command.yaw_rate


def _follow(state: State, point: Point) -> tuple[Setpoint, float]:
    away = state.position - np.array(point)
    level = math.hypot(away[0], away[1])
    yaw = math.atan2(-away[1], -away[0]) if level > 0.3 else state.yaw
    ahead = DISTANCE / max(level, 0.3)
    place = (point[0] + float(away[0]) * ahead, point[1] + float(away[1]) * ahead, point[2] + ABOVE)
    tilt = math.atan2(float(away[2] + MOUNT[2]), max(level - MOUNT[0], 0.3))
    return Setpoint(position=place, yaw=yaw), tilt


def _point(state: State) -> Point:
    x, y, z = (float(value) for value in state.position)
    return x, y, z
