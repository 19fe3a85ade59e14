"""Our end of MAVLink: commands go to an autopilot as offboard setpoints, its telemetry comes back as the pose.

Control is taken by :meth:`Autopilot.take` alone and never retaken: when the link is lost, when anybody changes the
vehicle's mode or when its motors stop, the setpoints end, that is said, and the autopilot's own failsafe decides. There
is no thread: setpoints are sent by :meth:`Autopilot.pump`, so if the loop around it hangs, they end as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

from quadfollow_core.errors import BadInput, QuadfollowError
from quadfollow_core.geometry import BODY_FROM_OPTICAL, Pose, quaternion_from_matrix
from quadfollow_sim.mavlink.dialect import Dialect, find_dialect
from quadfollow_sim.mavlink.link import Address, Link
from quadfollow_sim.mavlink.outbox import Outbox
from quadfollow_sim.mavlink.telemetry import GIMBAL, NEVER, STALE, Telemetry
from quadfollow_sim.vehicle import Brake, Command, Follow, OwnState, Steering
from quadfollow_sim.world import Point

Control = Literal["none", "asking", "ours", "leaving"]
"""Whether we fly the vehicle: no; setpoints flow and its mode is asked for; yes; its hold mode is asked for."""

LINK_LOST = 3.0
"""Seconds without a heartbeat after which the link counts as lost."""
SETPOINTS_FIRST = 1.0
"""Seconds of setpoints before the mode is asked for: PX4 takes no offboard mode without them."""
PATIENCE = 5.0
"""Seconds for which a mode is asked for."""

Tell = Callable[[str], None]


class Autopilot:
    """One vehicle behind one link.

    Args:
        link: to it; it stays open.
        tell: called with what the operator should know, in full sentences.
        tilt: angle below the horizon of a camera fixed to the body, radians; None for a gimbal.
        mount: where the camera is in the body, metres forward, left and up of where the vehicle says it is.
    """

    def __init__(
        self,
        link: Link,
        tell: Tell = lambda text: None,
        *,
        tilt: float | None = None,
        mount: Point = (0.0, 0.0, 0.0),
    ) -> None:
        self.control: Control = "none"
        self.telemetry = Telemetry()
        self.dialect: Dialect | None = None
        """Known from the first heartbeat on."""
        self._link = link
        self._outbox = Outbox(link)
        self._tell = tell
        self._fixed = tilt
        self._mount = mount
        self._command: Steering = Brake()
        self._since = NEVER
        self._now = 0.0
        self._strangers: set[int] = set()

    @property
    def connected(self) -> bool:
        """Whether a vehicle is there and says where it is."""
        return self.dialect is not None and self._is_heard() and self.telemetry.pose_age(self._now) <= STALE

    @property
    def own(self) -> OwnState:
        """The vehicle's state, as old as the newest telemetry, carried on to now.

        Raises:
            BadInput: none has come yet.
        """
        telemetry = self.telemetry
        if self._fixed is None:
            tilt = telemetry.gimbal_tilt(self._now, self._outbox.tilt)
        else:
            tilt = self._fixed + telemetry.pitch
        own = telemetry.own(self._now, tilt)
        if own is None:
            raise BadInput("the vehicle has not said yet where it is")
        return own

    def camera_pose(self) -> Pose:
        """Where the camera is and looks: levelled by its gimbal, or turned with the body it is fixed to."""
        own, told = self.own, self.telemetry
        body = Pose.from_rpy(own.position, told.roll, told.pitch, own.yaw).rotation @ BODY_FROM_OPTICAL.T
        x, y, z = (float(value) for value in own.position + body @ self._mount)
        if self._fixed is None:
            return Pose.from_rpy((x, y, z), 0.0, own.tilt, own.yaw)
        mounted = Pose.from_rpy((0.0, 0.0, 0.0), 0.0, self._fixed, 0.0).rotation
        return Pose((x, y, z), quaternion_from_matrix(body @ mounted))

    def take(self) -> None:
        """Ask for control: setpoints of standing still first, then the mode that flies them. Motors are never started.

        Raises:
            BadInput: the vehicle is not there, does not say where it is, or its motors are off.
        """
        if self.control in ("asking", "ours"):
            return
        if not self.connected:
            raise BadInput("no vehicle is connected that says where it is (heartbeat, local position, attitude)")
        if not self.telemetry.motors:
            raise BadInput("the vehicle's motors are off: take off first, with its remote control or ground station")
        self._command = Brake()
        self._turn_to("asking", "asking the vehicle for control")

    def release(self) -> None:
        """Give control back: ask for the mode in which the autopilot holds by itself, then end the setpoints."""
        if self.control in ("asking", "ours"):
            self._command = Brake()
            self._turn_to("leaving", "handing the vehicle back: asking it to hold")

    def command(self, command: Command) -> None:
        """Take a command; it is flown while control is ours, until the next one.

        Raises:
            BadInput: it is a point to follow: setpoints are velocities.
        """
        if isinstance(command, Follow):
            raise BadInput("an autopilot is flown by velocities: it does not follow points by itself")
        self._command = command

    def pump(self, now: float) -> None:
        """Hear what has come and send what is due; call it at least ten times a second, ``now`` in seconds."""
        self._now = now
        for message, sender in self._link.receive():
            self._hear(message, sender)
        if self.control != "none":
            self._watch()
        self._speak()

    def _hear(self, message: Any, sender: Address) -> None:
        kind, words = message.get_type(), self._link.messages
        if kind == "HEARTBEAT":
            if self._meet(message, sender):
                self.telemetry.hear(message, self._now)
        elif self.dialect is None or message.get_srcSystem() != self._link.system:
            return
        elif kind == "STATUSTEXT":
            if message.severity <= words.MAV_SEVERITY_WARNING:
                self._tell(f"the vehicle says: {message.text}")
        elif kind in GIMBAL:
            self.telemetry.hear(message, self._now)
        elif message.get_srcComponent() == words.MAV_COMP_ID_AUTOPILOT1:  # a gimbal has an attitude of its own
            if kind == "COMMAND_ACK":
                self._hear_answer(message)
            else:
                self.telemetry.hear(message, self._now)

    def _meet(self, heartbeat: Any, sender: Address) -> bool:
        """Whether a heartbeat is that of our vehicle; the first autopilot heard is."""
        if heartbeat.get_srcComponent() != self._link.messages.MAV_COMP_ID_AUTOPILOT1:
            return False
        system = heartbeat.get_srcSystem()
        if self.dialect is not None:
            return bool(system == self._link.system)
        try:
            self.dialect = find_dialect(int(heartbeat.autopilot))
        except QuadfollowError as error:
            if heartbeat.autopilot not in self._strangers:
                self._strangers.add(heartbeat.autopilot)
                self._tell(str(error))
            return False
        self._link.peer, self._link.system = sender, system
        self._outbox.meet(self.dialect)
        self._tell(f"{self.dialect.name} vehicle {system} at {sender[0]}:{sender[1]}")
        return True

    def _hear_answer(self, answer: Any) -> None:
        """Take in the answer to a command of ours; the vehicle answers others, too."""
        words = self._link.messages
        if answer.target_system not in (0, self._link.system):
            return
        if answer.target_component not in (0, self._link.component):
            return
        not_no = (words.MAV_RESULT_ACCEPTED, words.MAV_RESULT_IN_PROGRESS, words.MAV_RESULT_TEMPORARILY_REJECTED)
        refused = answer.result not in not_no
        if answer.command == words.MAV_CMD_DO_GIMBAL_MANAGER_CONFIGURE:
            self._outbox.has_gimbal_manager = not refused
        elif answer.command == words.MAV_CMD_DO_SET_MODE and refused and self.control == "asking":
            known = words.enums["MAV_RESULT"].get(answer.result)
            reason = f"result {answer.result}" if known is None else known.name
            self._turn_to("none", f"the vehicle refused its {self._mode_name(self._wanted())} mode ({reason})")

    def _watch(self) -> None:
        """End control where it has ended, and note where it has begun."""
        assert self.dialect is not None
        mode, waited = self.telemetry.mode, self._now - self._since
        if not self._is_heard():
            self._turn_to("none", "the link to the vehicle is lost: setpoints ended, its own failsafe decides")
        elif not self.telemetry.motors:
            self._turn_to("none", "the vehicle's motors stopped: setpoints ended")
        elif self.control == "asking" and mode == self.dialect.offboard:
            self._turn_to("ours", f"the vehicle is ours, in {self._mode_name(mode)} mode")
        elif self.control == "ours" and mode != self.dialect.offboard:
            self._turn_to(
                "none", f"the vehicle went to {self._mode_name(mode)} mode: setpoints ended, it is not ours now"
            )
        elif self.control == "leaving" and mode != self.dialect.offboard:
            self._turn_to("none", f"the vehicle is handed back, in {self._mode_name(mode)} mode")
        elif self.control in ("asking", "leaving") and waited > SETPOINTS_FIRST + PATIENCE:
            self._turn_to("none", f"the vehicle did not go to {self._mode_name(self._wanted())} mode: setpoints ended")

    def _speak(self) -> None:
        self._outbox.say_hello(self._now)
        if self.control == "none":
            return
        standing = self.control != "ours" or self.telemetry.pose_age(self._now) > STALE
        self._outbox.send_setpoint(self._now, Brake() if standing else self._command)
        if self._fixed is None:
            self._outbox.send_tilt(self._now, self._command.tilt)
        if self.control == "leaving" or (self.control == "asking" and self._now - self._since >= SETPOINTS_FIRST):
            self._outbox.ask_mode(self._now, self._wanted())

    def _wanted(self) -> int:
        assert self.dialect is not None
        return self.dialect.hold if self.control == "leaving" else self.dialect.offboard

    def _mode_name(self, mode: int) -> str:
        assert self.dialect is not None
        return self.dialect.mode_name(mode)

    def _is_heard(self) -> bool:
        return self._now - self.telemetry.heartbeat_at <= LINK_LOST and math.isfinite(self.telemetry.heartbeat_at)

    def _turn_to(self, control: Control, why: str) -> None:
        self.control, self._since = control, self._now
        self._tell(why)
