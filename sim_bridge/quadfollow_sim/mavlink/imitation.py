"""A vehicle that answers MAVLink like PX4 (or ArduPilot), flown by whatever world is put behind it.

It knows heartbeat, telemetry, commands, parameters, offboard setpoints and a gimbal, and gives up offboard mode by
itself when setpoints stop. What it leaves out: sensors, missions, landing. Before its motors run it stays where it is,
as on a stand. Roll and pitch are said to be zero, since an :class:`OwnState` has none.
"""

from __future__ import annotations

import math
from typing import Any

from quadfollow_sim.airspace import Airspace
from quadfollow_sim.limits import clamp
from quadfollow_sim.mavlink.dialect import PX4, Dialect
from quadfollow_sim.mavlink.link import Link
from quadfollow_sim.mavlink.ned import swap_axes, swap_heading
from quadfollow_sim.mavlink.streams import Streams
from quadfollow_sim.vehicle import Brake, Command, Velocity
from quadfollow_sim.world import Point

SYSTEM, COMPONENT = 1, 1
SETPOINT_LOSS = 1.0
"""Seconds without a setpoint after which offboard mode ends, as PX4's ``COM_OF_LOSS_T``."""
YAW_GAIN, FASTEST_TURN = 2.0, 1.0
"""How a heading is flown: radians per second per radian, and at most."""
STEP = 0.01
"""Seconds of the world between two looks at the link."""


class ImitatedVehicle:
    """The vehicle's end of a link.

    Args:
        world: what it flies in.
        link: from :data:`SYSTEM`, :data:`COMPONENT`; it stays open.
        dialect: whom it imitates.
        motors: whether they run from the start, the vehicle hovering, as after a take-off by hand.
    """

    def __init__(self, world: Airspace, link: Link, dialect: Dialect = PX4, *, motors: bool = False) -> None:
        self.motors = motors
        self.mode = dialect.hold
        self.refuses: dict[int, int] = {}
        """Commands that are not carried out but answered with a ``MAV_RESULT``."""
        self.parameters: dict[str, float] = {"COM_OF_LOSS_T": SETPOINT_LOSS, "MIS_TAKEOFF_ALT": 2.5}
        self._world = world
        self._link = link
        self._words = link.messages
        self._dialect = dialect
        self._streams = Streams(link, dialect)
        self._tilt = world.own.tilt
        self._setpoint: Velocity | None = None
        self._heading: float | None = None
        self._setpoint_at = -math.inf
        self._reached = world.time

    def advance(self, time: float) -> None:
        """Let the world fly on until ``time``, hearing and answering all the while."""
        while self._reached < time - 1e-9:
            self._reached = min(self._reached + STEP, time)
            self._world.advance(self._reached)
            self.pump()

    def pump(self) -> None:
        """Hear what has come, fly by it, and send what is due."""
        for message, sender in self._link.receive():
            if self._link.peer is None and message.get_type() == "HEARTBEAT":
                self._link.peer = sender
            self._hear(message)
        self._watch()
        self._world.command(self._steer())
        self._streams.send(self._world.time, self._world.own, self.mode, self.motors)

    def _hear(self, message: Any) -> None:
        match message.get_type():
            case "COMMAND_LONG" | "COMMAND_INT":
                result, asker = self._obey(message), (message.get_srcSystem(), message.get_srcComponent())
                self._link.send(self._words.MAVLink_command_ack_message(message.command, result, 0, 0, *asker))
            case "SET_POSITION_TARGET_LOCAL_NED":
                self._hear_setpoint(message)
            case "GIMBAL_MANAGER_SET_PITCHYAW":
                self._tilt = self._tilt if math.isnan(message.pitch) else -message.pitch
            case "PARAM_REQUEST_LIST":
                self._streams.send_parameters(self.parameters, *self.parameters)
            case "PARAM_REQUEST_READ":
                self._tell_parameter(message)
            case "PARAM_SET":
                self._set_parameter(message)

    def _obey(self, order: Any) -> int:
        """Carry a command out and return its ``MAV_RESULT``; parameters that are no numbers count as zero."""
        words = self._words
        if order.command in self.refuses:
            return self.refuses[order.command]
        first, second, third = (p if math.isfinite(p) else 0.0 for p in (order.param1, order.param2, order.param3))
        match order.command:
            case words.MAV_CMD_COMPONENT_ARM_DISARM:
                return self._arm(first > 0.5)
            case words.MAV_CMD_DO_SET_MODE:
                return self._go_to(self._dialect.mode_from(second, third))
            case words.MAV_CMD_DO_GIMBAL_MANAGER_CONFIGURE:
                self._streams.gimbal_control = (int(first), int(second))
                return int(words.MAV_RESULT_ACCEPTED)
            case words.MAV_CMD_DO_GIMBAL_MANAGER_PITCHYAW | words.MAV_CMD_DO_MOUNT_CONTROL:
                self._tilt = -math.radians(first)
                return int(words.MAV_RESULT_ACCEPTED)
            case words.MAV_CMD_SET_MESSAGE_INTERVAL:
                return self._streams.set_interval(int(first), second)
            case words.MAV_CMD_REQUEST_MESSAGE:
                return self._streams.send_once(int(first), self._world.time, self._world.own)
        return int(words.MAV_RESULT_UNSUPPORTED)

    def _arm(self, on: bool) -> int:
        if not on and self.motors:  # in the air: only on a stand it would be safe
            return int(self._words.MAV_RESULT_DENIED)
        self.motors = on
        return int(self._words.MAV_RESULT_ACCEPTED)

    def _go_to(self, mode: int) -> int:
        if mode == self._dialect.offboard and self._dialect is PX4 and not self._is_led():
            return int(self._words.MAV_RESULT_TEMPORARILY_REJECTED)
        if mode not in (self._dialect.offboard, self._dialect.hold):
            return int(self._words.MAV_RESULT_DENIED)
        self.mode = mode
        return int(self._words.MAV_RESULT_ACCEPTED)

    def _hear_setpoint(self, message: Any) -> None:
        """Take a velocity with a yaw rate or a heading; setpoints of any other kind are passed over."""
        words, mask = self._words, message.type_mask
        velocity = (message.vx, message.vy, message.vz)
        if mask & words.POSITION_TARGET_TYPEMASK_VX_IGNORE or not all(map(math.isfinite, velocity)):
            return
        in_body = message.coordinate_frame in (words.MAV_FRAME_BODY_NED, words.MAV_FRAME_BODY_OFFSET_NED)
        rate = 0.0 if mask & words.POSITION_TARGET_TYPEMASK_YAW_RATE_IGNORE else -message.yaw_rate
        self._setpoint = Velocity(self._from_body(velocity) if in_body else swap_axes(velocity), rate)
        self._heading = None if mask & words.POSITION_TARGET_TYPEMASK_YAW_IGNORE else swap_heading(message.yaw)
        self._setpoint_at = self._world.time

    def _from_body(self, velocity: Point) -> Point:
        """A velocity forward, right, down, in the world frame."""
        forward, right, down = velocity
        yaw = self._world.own.yaw
        cos, sin = math.cos(yaw), math.sin(yaw)
        return forward * cos + right * sin, forward * sin - right * cos, -down

    def _is_led(self) -> bool:
        return self._world.time - self._setpoint_at <= self.parameters["COM_OF_LOSS_T"]

    def _watch(self) -> None:
        if self.mode == self._dialect.offboard and self._dialect is PX4 and not self._is_led():
            self.mode = self._dialect.hold
            self._streams.say("No offboard signal: holding")

    def _steer(self) -> Command:
        wish = self._setpoint
        if not self.motors or self.mode != self._dialect.offboard or wish is None or not self._is_led():
            return Brake("hold", tilt=self._tilt)
        if self._heading is None:
            return Velocity(wish.linear, wish.yaw_rate, self._tilt)
        off = math.remainder(self._heading - self._world.own.yaw, math.tau)
        return Velocity(wish.linear, clamp(YAW_GAIN * off, -FASTEST_TURN, FASTEST_TURN), self._tilt)

    def _tell_parameter(self, request: Any) -> None:
        names = [*self.parameters]
        wanted = [request.param_id] if request.param_index < 0 else names[request.param_index :][:1]
        self._streams.send_parameters(self.parameters, *wanted)

    def _set_parameter(self, message: Any) -> None:
        if message.param_id in self.parameters and math.isfinite(message.param_value):
            self.parameters[message.param_id] = float(message.param_value)
        self._streams.send_parameters(self.parameters, message.param_id)
