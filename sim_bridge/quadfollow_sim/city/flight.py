"""Low-level flight: a geometric controller from velocity, position and yaw set-points to four thrusts.

Attitude control after Lee, Leok and McClamroch (2010), with an integral of the velocity error against wind.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from quadfollow_sim.city.mesh import Floats
from quadfollow_sim.city.physics import GRAVITY, Airframe, State

PERIOD = 0.008
"""Seconds between two control steps: 125 Hz."""
SPEED = 6.0
"""m/s at most on the level; half of it up and down."""
ACCELERATION = 5.0
"""m/s² by which a velocity set-point may change."""
TILT = 0.6
"""Radians from level at most."""
YAW_RATE = 1.6
"""rad/s at most."""


@dataclass(frozen=True, slots=True)
class Setpoint:
    """What to do next; a velocity is added to the approach to a position, a yaw wins over the yaw rate."""

    velocity: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """World frame, m/s."""
    position: tuple[float, float, float] | None = None
    """World frame, metres."""
    yaw: float | None = None
    """Radians, counter-clockwise from x."""
    yaw_rate: float = 0.0
    """rad/s"""


class FlightController:
    """Flies to set-points; one call of :meth:`thrusts` per control period."""

    APPROACH, DAMPING, INTEGRAL = 1.1, 3.6, 2.2
    """1/s, 1/s and 1/s² on position, velocity and the velocity's integral."""
    STIFFNESS, RATE = np.array([95.0, 95.0, 14.0]), np.array([17.0, 17.0, 6.0])
    """1/s² and 1/s on attitude and rates about x, y and z."""
    WINDUP = 7.0
    """Largest integral, m/s²."""

    def __init__(self, airframe: Airframe, yaw: float) -> None:
        self._airframe = airframe
        self._unmix = np.linalg.inv(airframe.mixing)
        self._inertia = np.array(airframe.inertia)
        self._velocity, self._integral, self._yaw = np.zeros(3), np.zeros(3), yaw

    def thrusts(self, state: State, setpoint: Setpoint) -> Floats:
        """Return four thrusts in newtons for the next control period."""
        acceleration = self._acceleration(state, setpoint)
        yaw_rate = self._turn(setpoint)
        desired = _attitude(acceleration, self._yaw)
        force = self._airframe.mass * float(acceleration @ state.rotation[:, 2])
        torque = self._inertia * self._angular_acceleration(state, desired, yaw_rate)
        wrench = np.array([max(force, 0.0), *torque])
        return np.asarray(np.clip(self._unmix @ wrench, 0.0, self._airframe.max_thrust))

    def _acceleration(self, state: State, setpoint: Setpoint) -> Floats:
        """The specific force to produce, world frame, m/s², within the tilt limit."""
        wanted = self._wanted_velocity(state, setpoint)
        change = _shorten(wanted - self._velocity, ACCELERATION * PERIOD)
        self._velocity = self._velocity + change
        error = self._velocity - state.velocity
        self._integral = np.clip(self._integral + error * self.INTEGRAL * PERIOD, -self.WINDUP, self.WINDUP)
        force = error * self.DAMPING + self._integral + change / PERIOD * 0.8
        force[2] = min(max(force[2] + GRAVITY, 0.35 * GRAVITY), 1.8 * GRAVITY)
        force[:2] = _shorten(force[:2], math.tan(TILT) * force[2])
        return force

    def _wanted_velocity(self, state: State, setpoint: Setpoint) -> Floats:
        wanted = np.array(setpoint.velocity)
        if setpoint.position is not None:
            offset = np.array(setpoint.position) - state.position
            wanted = wanted + offset * min(self.APPROACH, self._stopping_rate(offset))
        wanted[:2] = _shorten(wanted[:2], SPEED)
        wanted[2] = min(max(wanted[2], -SPEED / 2), SPEED / 2)
        return wanted

    def _stopping_rate(self, offset: Floats) -> float:
        """Speed per metre from which half the acceleration still stops in time."""
        return math.sqrt(ACCELERATION / max(math.sqrt(offset @ offset), 1e-6))

    def _turn(self, setpoint: Setpoint) -> float:
        """Move the desired heading and return its rate, rad/s."""
        rate = setpoint.yaw_rate
        if setpoint.yaw is not None:
            rate = 3.0 * math.remainder(setpoint.yaw - self._yaw, 2 * math.pi)
        rate = min(max(rate, -YAW_RATE), YAW_RATE)
        self._yaw += rate * PERIOD
        return rate

    def _angular_acceleration(self, state: State, desired: Floats, yaw_rate: float) -> Floats:
        relative = desired.T @ state.rotation
        skew = relative - relative.T
        error = np.array([skew[2, 1], skew[0, 2], skew[1, 0]]) / 2
        rates = state.rates - state.rotation[2] * yaw_rate
        return np.asarray(-self.STIFFNESS * error - self.RATE * rates)


def _attitude(force: Floats, yaw: float) -> Floats:
    """The rotation whose z axis lies along ``force`` and whose x axis heads for ``yaw``."""
    x, y, z = (float(value) for value in force)
    length = math.sqrt(x * x + y * y + z * z)
    ux, uy, uz = x / length, y / length, z / length
    # z × heading = left; left × z = forward
    lx, ly, lz = -uz * math.sin(yaw), uz * math.cos(yaw), ux * math.sin(yaw) - uy * math.cos(yaw)
    norm = math.sqrt(lx * lx + ly * ly + lz * lz)
    lx, ly, lz = lx / norm, ly / norm, lz / norm
    return np.array([
        [ly * uz - lz * uy, lx, ux],
        [lz * ux - lx * uz, ly, uy],
        [lx * uy - ly * ux, lz, uz],
    ])  # fmt: skip


def _shorten(vector: Floats, longest: float) -> Floats:
    length = math.sqrt(float(vector @ vector))
    return vector if length <= longest else np.asarray(vector * (longest / length))
