"""What a vehicle says of itself, in our frames: where it is, how it flies, in which mode."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from quadfollow_core.errors import BadInput
from quadfollow_sim.mavlink.ned import swap_axes, swap_heading
from quadfollow_sim.vehicle import OwnState
from quadfollow_sim.world import Point

STALE = 0.5
"""Seconds after which a pose is no longer flown by."""
NEVER = -math.inf
GIMBAL = ("GIMBAL_DEVICE_ATTITUDE_STATUS", "MOUNT_ORIENTATION")
"""What tells the camera's tilt; a gimbal may do so itself."""


@dataclass(slots=True)
class Telemetry:
    """The newest of each kind of message. Times are seconds of whoever calls :meth:`hear`."""

    heartbeat_at: float = NEVER
    mode: int = 0
    motors: bool = False
    """Whether the motors are armed."""
    position_at: float = NEVER
    position: Point = (0.0, 0.0, 0.0)
    velocity: Point = (0.0, 0.0, 0.0)
    attitude_at: float = NEVER
    roll: float = 0.0
    """Radians, right side down."""
    pitch: float = 0.0
    """Radians, nose down."""
    yaw: float = 0.0
    yaw_rate: float = 0.0
    tilt_at: float = NEVER
    tilt: float = 0.0
    """The gimbal's, radians below the horizon."""

    def hear(self, message: Any, now: float) -> None:
        """Take in one message; unknown kinds and numbers that are none change nothing."""
        match message.get_type():
            case "HEARTBEAT":
                self.heartbeat_at, self.mode = now, int(message.custom_mode)
                self.motors = bool(message.base_mode & 128)
            case "LOCAL_POSITION_NED":
                self._hear_position(message, now)
            case "ATTITUDE":
                self._hear_attitude(message, now)
            case "GIMBAL_DEVICE_ATTITUDE_STATUS":
                self._hear_tilt(_tilt_from(message.q), now)
            case "MOUNT_ORIENTATION":
                self._hear_tilt(-math.radians(message.pitch), now)

    def pose_age(self, now: float) -> float:
        """Seconds since position and attitude were both known; infinite before."""
        return now - min(self.position_at, self.attitude_at)

    def gimbal_tilt(self, now: float, asked: float) -> float:
        """The camera's tilt as its gimbal tells it; the one that was asked of it where it does not, or not any more."""
        return self.tilt if now - self.tilt_at <= STALE else asked

    def own(self, now: float, tilt: float) -> OwnState | None:
        """The vehicle's state with its camera's tilt, carried on to ``now`` at its speed; None before it is known."""
        age = self.pose_age(now)
        if not math.isfinite(age):
            return None
        ahead = min(max(now - self.position_at, 0.0), STALE)
        x, y, z = (p + v * ahead for p, v in zip(self.position, self.velocity, strict=True))
        turned = self.yaw + self.yaw_rate * min(max(now - self.attitude_at, 0.0), STALE)
        try:
            return OwnState((x, y, z), self.velocity, math.remainder(turned, math.tau), tilt)
        except BadInput:
            return None

    def _hear_position(self, message: Any, now: float) -> None:
        numbers = (message.x, message.y, message.z, message.vx, message.vy, message.vz)
        if all(map(math.isfinite, numbers)):
            self.position_at = now
            self.position, self.velocity = swap_axes(numbers[:3]), swap_axes(numbers[3:])

    def _hear_attitude(self, message: Any, now: float) -> None:
        numbers = (message.roll, message.pitch, message.yaw, message.yawspeed)
        if all(map(math.isfinite, numbers)):
            self.attitude_at = now
            self.roll, self.pitch = message.roll, -message.pitch
            self.yaw, self.yaw_rate = swap_heading(message.yaw), -message.yawspeed

    def _hear_tilt(self, tilt: float, now: float) -> None:
        if math.isfinite(tilt):
            self.tilt_at, self.tilt = now, tilt


def _tilt_from(quaternion: Any) -> float:
    """The angle below the horizon of a gimbal's quaternion ``(w, x, y, z)``, forward-right-down to its base."""
    w, x, y, z = (float(value) for value in quaternion)
    return -math.asin(min(max(2 * (w * y - z * x), -1.0), 1.0))
