"""What an imitated vehicle sends: its heartbeat and telemetry, each at its rate, and answers on request."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from quadfollow_sim.mavlink.dialect import Dialect
from quadfollow_sim.mavlink.link import Link
from quadfollow_sim.mavlink.ned import swap_axes, swap_heading
from quadfollow_sim.vehicle import OwnState

HOME = (47.397742, 8.545594, 488.0)
"""Latitude and longitude in degrees, height in metres, of the world's origin: the usual field of PX4's simulators."""
EARTH = 6_371_000.0
"""Radius in metres; the field is taken for flat."""
FASTEST = 0.02
"""Shortest interval granted, seconds."""
GIMBAL = 1
"""Number of the gimbal, which is no component of its own."""
PITCHES = (-math.pi / 2, math.pi / 6)
"""Its lowest and highest pitch, up positive, radians."""
_FLYING = 128 | 1
"""Heartbeat flags: motors armed, custom mode."""


class Streams:
    """One vehicle's messages, by number."""

    def __init__(self, link: Link, dialect: Dialect) -> None:
        self._link = link
        self._words = words = link.messages
        self._dialect = dialect
        self._mode, self._motors = dialect.hold, False
        self._builders: dict[int, Callable[[float, OwnState], Any]] = {
            words.MAVLINK_MSG_ID_HEARTBEAT: self._heartbeat,
            words.MAVLINK_MSG_ID_SYS_STATUS: self._sys_status,
            words.MAVLINK_MSG_ID_LOCAL_POSITION_NED: self._local_position,
            words.MAVLINK_MSG_ID_ATTITUDE: self._attitude,
            words.MAVLINK_MSG_ID_GLOBAL_POSITION_INT: self._global_position,
            words.MAVLINK_MSG_ID_GPS_RAW_INT: self._gps,
            words.MAVLINK_MSG_ID_HOME_POSITION: self._home,
            words.MAVLINK_MSG_ID_EXTENDED_SYS_STATE: self._landed,
            words.MAVLINK_MSG_ID_GIMBAL_DEVICE_ATTITUDE_STATUS: self._gimbal,
            words.MAVLINK_MSG_ID_GIMBAL_MANAGER_STATUS: self._gimbal_status,
        }
        on_request = {
            words.MAVLINK_MSG_ID_GIMBAL_MANAGER_INFORMATION: self._gimbal_manager,
            words.MAVLINK_MSG_ID_GIMBAL_DEVICE_INFORMATION: self._gimbal_device,
            words.MAVLINK_MSG_ID_AUTOPILOT_VERSION: self._version,
        }
        fast = (words.MAVLINK_MSG_ID_LOCAL_POSITION_NED, words.MAVLINK_MSG_ID_ATTITUDE)
        self._intervals = dict.fromkeys(self._builders, 0.5) | dict.fromkeys(fast, 0.05)
        self._intervals |= dict.fromkeys(on_request, math.inf) | {words.MAVLINK_MSG_ID_HEARTBEAT: 1.0}
        self._builders |= on_request
        self._sent = dict.fromkeys(self._builders, -math.inf)
        self.gimbal_control = (0, 0)
        """System and component that hold the gimbal."""

    def send(self, now: float, own: OwnState, mode: int, motors: bool) -> None:
        """Send what is due; a change of mode or motors is told at once."""
        heartbeat = self._words.MAVLINK_MSG_ID_HEARTBEAT
        if (mode, motors) != (self._mode, self._motors):
            self._sent[heartbeat] = -math.inf
        self._mode, self._motors = mode, motors
        for number, build in self._builders.items():
            interval = self._intervals[number]
            if interval < math.inf and now - self._sent[number] >= interval - 1e-6:
                self._sent[number] = now
                self._link.send(build(now, own))

    def set_interval(self, number: int, microseconds: float) -> int:
        """Change how often a message is sent (-1: never, 0: as at first); return the ``MAV_RESULT``."""
        if number not in self._builders or not math.isfinite(microseconds):
            return int(self._words.MAV_RESULT_DENIED)
        if number != self._words.MAVLINK_MSG_ID_HEARTBEAT and microseconds != 0:
            self._intervals[number] = math.inf if microseconds < 0 else max(FASTEST, microseconds / 1e6)
        return int(self._words.MAV_RESULT_ACCEPTED)

    def send_once(self, number: int, now: float, own: OwnState) -> int:
        """Send a message on request; return the ``MAV_RESULT``."""
        if number not in self._builders:
            return int(self._words.MAV_RESULT_UNSUPPORTED)
        self._link.send(self._builders[number](now, own))
        return int(self._words.MAV_RESULT_ACCEPTED)

    def send_parameters(self, parameters: Mapping[str, float], *wanted: str) -> None:
        """Send the parameters of some names; a name that is none is passed over."""
        kind, count = self._words.MAV_PARAM_TYPE_REAL32, len(parameters)
        for index, (name, value) in enumerate(parameters.items()):
            if name in wanted:
                self._link.send(self._words.MAVLink_param_value_message(name.encode(), value, kind, count, index))

    def say(self, text: str) -> None:
        """A line for the operator."""
        self._link.send(self._words.MAVLink_statustext_message(self._words.MAV_SEVERITY_WARNING, text.encode()))

    def _heartbeat(self, now: float, own: OwnState) -> Any:
        base = _FLYING if self._motors else 1
        state = self._words.MAV_STATE_ACTIVE if self._motors else self._words.MAV_STATE_STANDBY
        kind = self._words.MAV_TYPE_QUADROTOR
        return self._words.MAVLink_heartbeat_message(kind, self._dialect.autopilot, base, self._mode, state, 3)

    def _sys_status(self, now: float, own: OwnState) -> Any:
        sensors = 0b111111 | self._words.MAV_SYS_STATUS_AHRS | self._words.MAV_SYS_STATUS_PREARM_CHECK
        return self._words.MAVLink_sys_status_message(*(sensors,) * 3, 300, 16_000, 500, 80, *(0,) * 6)

    def _local_position(self, now: float, own: OwnState) -> Any:
        place, speed = swap_axes(own.position), swap_axes(own.velocity)
        return self._words.MAVLink_local_position_ned_message(_ms(now), *place, *speed)

    def _attitude(self, now: float, own: OwnState) -> Any:
        return self._words.MAVLink_attitude_message(_ms(now), 0.0, 0.0, swap_heading(own.yaw), 0.0, 0.0, 0.0)

    def _global_position(self, now: float, own: OwnState) -> Any:
        latitude, longitude, height = _globe(own)
        speed = (round(100 * value) for value in swap_axes(own.velocity))
        heading = round(100 * math.degrees(swap_heading(own.yaw))) % 36_000
        height_mm, above_mm = round(1000 * height), round(1000 * own.position[2])
        return self._words.MAVLink_global_position_int_message(
            _ms(now), latitude, longitude, height_mm, above_mm, *speed, heading
        )

    def _gps(self, now: float, own: OwnState) -> Any:
        latitude, longitude, height = _globe(own)
        fix = self._words.GPS_FIX_TYPE_3D_FIX
        return self._words.MAVLink_gps_raw_int_message(
            round(1e6 * now), fix, latitude, longitude, round(1000 * height), 80, 80, 0, 65_535, 12
        )

    def _home(self, now: float, own: OwnState) -> Any:
        latitude, longitude, height = HOME
        place = (round(1e7 * latitude), round(1e7 * longitude), round(1000 * height))
        return self._words.MAVLink_home_position_message(*place, 0, 0, 0, (1, 0, 0, 0), 0, 0, 0)

    def _landed(self, now: float, own: OwnState) -> Any:
        words = self._words
        state = words.MAV_LANDED_STATE_IN_AIR if self._motors else words.MAV_LANDED_STATE_ON_GROUND
        return words.MAVLink_extended_sys_state_message(0, state)

    def _gimbal(self, now: float, own: OwnState) -> Any:
        half = -own.tilt / 2
        flags = self._words.GIMBAL_DEVICE_FLAGS_ROLL_LOCK | self._words.GIMBAL_DEVICE_FLAGS_PITCH_LOCK
        turn = (math.cos(half), 0.0, math.sin(half), 0.0)
        return self._words.MAVLink_gimbal_device_attitude_status_message(
            0, 0, _ms(now), flags, turn, 0, 0, 0, 0, 0, 0, GIMBAL
        )

    def _gimbal_manager(self, now: float, own: OwnState) -> Any:
        words = self._words
        able = words.GIMBAL_MANAGER_CAP_FLAGS_HAS_PITCH_AXIS | words.GIMBAL_MANAGER_CAP_FLAGS_HAS_PITCH_LOCK
        return words.MAVLink_gimbal_manager_information_message(_ms(now), able, GIMBAL, 0, 0, *PITCHES, 0, 0)

    def _gimbal_device(self, now: float, own: OwnState) -> Any:
        make, able = (b"quadfollow", b"imitated", b""), self._words.GIMBAL_DEVICE_CAP_FLAGS_HAS_PITCH_AXIS
        numbers = (0, 0, 0, able, 0, 0, 0, *PITCHES, 0, 0, GIMBAL)
        return self._words.MAVLink_gimbal_device_information_message(_ms(now), *make, *numbers)

    def _gimbal_status(self, now: float, own: OwnState) -> Any:
        holder = self.gimbal_control
        return self._words.MAVLink_gimbal_manager_status_message(_ms(now), 0, GIMBAL, *holder, 0, 0)

    def _version(self, now: float, own: OwnState) -> Any:
        words = self._words
        able = words.MAV_PROTOCOL_CAPABILITY_MAVLINK2 | words.MAV_PROTOCOL_CAPABILITY_SET_POSITION_TARGET_LOCAL_NED
        return words.MAVLink_autopilot_version_message(able, 0, 0, 0, 0, (0,) * 8, (0,) * 8, (0,) * 8, 0, 0, 1)


def _ms(now: float) -> int:
    return round(1000 * now)


def _globe(own: OwnState) -> tuple[int, int, float]:
    """Latitude and longitude in 1e-7 degrees, and the height above the sea in metres."""
    latitude, longitude, height = HOME
    x, y, z = own.position
    north, east = math.degrees(y / EARTH), math.degrees(x / (EARTH * math.cos(math.radians(latitude))))
    return round(1e7 * (latitude + north)), round(1e7 * (longitude + east)), height + z
