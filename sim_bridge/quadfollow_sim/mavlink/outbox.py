"""What we send to an autopilot, and how often."""

from __future__ import annotations

import math

from quadfollow_sim.mavlink.dialect import Dialect
from quadfollow_sim.mavlink.link import Link
from quadfollow_sim.mavlink.ned import swap_axes
from quadfollow_sim.mavlink.telemetry import NEVER
from quadfollow_sim.vehicle import Brake, Steering

PERIODS = {"hello": 1.0, "streams": 5.0, "setpoint": 0.05, "tilt": 0.1, "mode": 0.5}
"""Seconds between two sendings."""
VELOCITY_AND_YAW_RATE = 0b0101_1100_0111
"""Which fields of a setpoint to pass over: position, acceleration and yaw."""
STREAMS = {"LOCAL_POSITION_NED": 50.0, "ATTITUDE": 50.0, "GIMBAL_DEVICE_ATTITUDE_STATUS": 20.0}
"""Telemetry asked for, and how often a second."""


class Outbox:
    """The messages to one vehicle. Times are seconds of whoever calls."""

    def __init__(self, link: Link) -> None:
        self.tilt = 0.0
        """The camera's tilt asked for last, radians below the horizon."""
        self.has_gimbal_manager = True
        """Whether the vehicle takes the newer gimbal protocol; until it says no."""
        self._link = link
        self._dialect: Dialect | None = None
        self._sent = dict.fromkeys(PERIODS, NEVER)

    def meet(self, dialect: Dialect) -> None:
        """Note with whom we talk."""
        self._dialect = dialect

    def say_hello(self, now: float) -> None:
        """Heartbeat, and the streams of telemetry that are wanted."""
        messages = self._link.messages
        if self._is_due("hello", now):
            kind, none = messages.MAV_TYPE_ONBOARD_CONTROLLER, messages.MAV_AUTOPILOT_INVALID
            state = messages.MAV_STATE_ACTIVE
            self._link.send(messages.MAVLink_heartbeat_message(kind, none, 0, 0, state, 3))
        if self._dialect is not None and self._is_due("streams", now):
            for name, rate in STREAMS.items():
                number = getattr(messages, f"MAVLINK_MSG_ID_{name}")
                self._send_command(messages.MAV_CMD_SET_MESSAGE_INTERVAL, number, round(1e6 / rate))

    def send_setpoint(self, now: float, command: Steering) -> None:
        """Velocity and yaw rate; a brake is standing still, perhaps turning."""
        if not self._is_due("setpoint", now):
            return
        messages = self._link.messages
        linear = (0.0, 0.0, 0.0) if isinstance(command, Brake) else command.linear
        self._link.send(
            messages.MAVLink_set_position_target_local_ned_message(
                round(1000 * now) % 2**32,
                *self._target(),
                messages.MAV_FRAME_LOCAL_NED,
                VELOCITY_AND_YAW_RATE,
                *(0.0, 0.0, 0.0),
                *swap_axes(linear),
                *(0.0, 0.0, 0.0),
                0.0,
                -command.yaw_rate,
            )
        )

    def send_tilt(self, now: float, tilt: float | None) -> None:
        """Turn the gimbal down by an angle, level and straight ahead otherwise; None leaves it where it is."""
        self.tilt = self.tilt if tilt is None else tilt
        if not self._is_due("tilt", now):
            return
        messages, target = self._link.messages, self._target()
        if not self.has_gimbal_manager:
            pitch, mode = -math.degrees(self.tilt), messages.MAV_MOUNT_MODE_MAVLINK_TARGETING
            self._send_command(messages.MAV_CMD_DO_MOUNT_CONTROL, pitch, 0, 0, 0, 0, 0, mode)
            return
        flags = messages.GIMBAL_MANAGER_FLAGS_ROLL_LOCK | messages.GIMBAL_MANAGER_FLAGS_PITCH_LOCK
        nothing = math.nan
        self._link.send(
            messages.MAVLink_gimbal_manager_set_pitchyaw_message(*target, flags, 0, -self.tilt, 0.0, nothing, nothing)
        )

    def ask_mode(self, now: float, mode: int) -> None:
        """Ask for a flight mode, and for the gimbal with it."""
        if self._dialect is None or not self._is_due("mode", now):
            return
        messages, custom = self._link.messages, 1
        if mode == self._dialect.offboard:
            us = (self._link.system, self._link.component)
            self._send_command(messages.MAV_CMD_DO_GIMBAL_MANAGER_CONFIGURE, *us, -1, -1)
        self._send_command(messages.MAV_CMD_DO_SET_MODE, custom, *self._dialect.mode_fields(mode))

    def _send_command(self, command: int, *parameters: float) -> None:
        filled = (*parameters, *(0.0,) * (7 - len(parameters)))
        self._link.send(self._link.messages.MAVLink_command_long_message(*self._target(), command, 0, *filled))

    def _target(self) -> tuple[int, int]:
        return self._link.system, int(self._link.messages.MAV_COMP_ID_AUTOPILOT1)

    def _is_due(self, name: str, now: float) -> bool:
        """Whether something is due, and note it as sent when it was due: what comes late does not delay the next.

        But for what is late by more than half a period, so that no two follow each other at once.
        """
        period = PERIODS[name]
        if now - self._sent[name] < period - 1e-6:
            return False
        self._sent[name] = max(self._sent[name] + period, now - period / 2)
        return True
