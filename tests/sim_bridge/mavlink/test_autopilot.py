"""Our end and an imitated vehicle over real UDP: who flies when, and how it ends."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from quadfollow_core.errors import BadInput
from quadfollow_sim.mavlink.dialect import ARDUPILOT, PX4, Dialect, find_dialect
from quadfollow_sim.vehicle import Follow, Velocity

EAST = Velocity((1.0, 0.0, 0.0))
SET_MODE, SET_MESSAGE_INTERVAL, GIMBAL_MANAGER = 176, 511, (1000, 1001)
"""Numbers of commands."""
GIMBAL = 154
"""A gimbal's component."""
DIALECTS = pytest.mark.parametrize("dialect", [PX4, ARDUPILOT], ids=lambda dialect: dialect.name)


def heard_by_vehicle(rig: Any, kind: str, seconds: float = 1.0) -> list[Any]:
    """What our end sends within a while to a vehicle that only listens."""
    end, found = rig.ends[0], []
    end.receive()
    for _ in range(round(seconds / 0.02)):
        rig.world.advance(rig.world.time + 0.02)
        rig.autopilot.pump(rig.world.time)
        found += [message for message, _ in end.receive() if message.get_type() == kind]
    return found


def test_what_is_sent_on_request_alone_is_not_sent_unasked(rig: Any) -> None:
    """Of a vehicle that nobody asks anything, telemetry comes and neither version nor gimbal's make."""
    kinds: set[str] = set()
    for _ in range(50):
        rig.vehicle.advance(rig.world.time + 0.02)
        kinds |= {message.get_type() for message, _ in rig.ends[1].receive()}
    assert {"HEARTBEAT", "ATTITUDE", "LOCAL_POSITION_NED"} <= kinds
    assert not kinds & {"AUTOPILOT_VERSION", "GIMBAL_MANAGER_INFORMATION", "GIMBAL_DEVICE_INFORMATION"}


@DIALECTS
def test_telemetry_is_the_pose(make_rig: Callable[..., Any], dialect: Dialect) -> None:
    """Where the vehicle is, how it flies and looks comes through in our axes, to what a float of 32 bits holds."""
    rig = make_rig(dialect)
    rig.take()
    rig.autopilot.command(Velocity((0.8, -0.5, 0.3), 0.4, 0.7))
    rig.go_on(2.0)
    own, truth = rig.autopilot.own, rig.world.own
    assert own.position == pytest.approx(truth.position, abs=0.03)
    assert own.velocity == pytest.approx(truth.velocity, abs=0.02)
    assert math.remainder(own.yaw - truth.yaw, math.tau) == pytest.approx(0, abs=0.02)
    assert own.tilt == pytest.approx(truth.tilt, abs=0.02)
    assert rig.autopilot.dialect is dialect


@DIALECTS
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_velocities_are_flown_in_our_axes(make_rig: Callable[..., Any], dialect: Dialect, axis: int) -> None:
    """East is east, north is north, up is up, and a positive yaw rate turns left."""
    rig = make_rig(dialect)
    rig.take()
    before = rig.world.own
    linear = [0.0, 0.0, 0.0]
    linear[axis] = 1.0
    rig.autopilot.command(Velocity((linear[0], linear[1], linear[2]), 0.3, 0.9))
    rig.go_on(3.0)
    after = rig.world.own
    moved = [b - a for a, b in zip(before.position, after.position, strict=True)]
    assert moved[axis] == pytest.approx(2.7, abs=0.2)
    assert sum(map(abs, moved)) == pytest.approx(moved[axis], abs=0.01)
    assert after.yaw - before.yaw == pytest.approx(0.9, abs=0.05)
    assert after.tilt == pytest.approx(0.9, abs=0.01)


def test_nothing_is_flown_without_an_order(rig: Any) -> None:
    """Telemetry comes in, commands are given, and not one setpoint, mode or gimbal message goes out."""
    rig.go_on(1.0)
    rig.autopilot.command(EAST)
    start = rig.world.own
    rig.go_on(3.0)
    assert rig.autopilot.connected
    assert (rig.world.own.position, rig.vehicle.mode) == (start.position, PX4.hold)
    for kind in ("SET_POSITION_TARGET_LOCAL_NED", "GIMBAL_MANAGER_SET_PITCHYAW"):
        assert heard_by_vehicle(rig, kind) == []
    asked = {message.command for message in heard_by_vehicle(rig, "COMMAND_LONG", 6.0)}
    assert asked == {SET_MESSAGE_INTERVAL}


def test_control_needs_a_vehicle(rig: Any) -> None:
    """Before anything was heard there is nothing to take."""
    with pytest.raises(BadInput, match="no vehicle"):
        rig.autopilot.take()
    with pytest.raises(BadInput, match="has not said"):
        _ = rig.autopilot.own
    assert not rig.autopilot.connected


def test_motors_are_never_started(make_rig: Callable[..., Any]) -> None:
    """A vehicle on the ground is refused, with what to do."""
    rig = make_rig(motors=False)
    rig.go_on(1.0)
    with pytest.raises(BadInput, match="take off first"):
        rig.autopilot.take()
    rig.go_on(2.0)
    assert not rig.vehicle.motors
    assert rig.autopilot.control == "none"


def test_setpoints_come_before_the_mode(rig: Any) -> None:
    """PX4 is asked for offboard mode only after a second of setpoints, and it stands still until it has agreed."""
    rig.go_on(0.5)
    rig.autopilot.take()
    rig.autopilot.command(EAST)
    start = rig.world.own.position
    rig.go_on(0.9)
    assert (rig.autopilot.control, rig.vehicle.mode) == ("asking", PX4.hold)
    rig.go_on(0.3)
    assert (rig.autopilot.control, rig.vehicle.mode) == ("ours", PX4.offboard)
    assert math.dist(rig.world.own.position, start) < 0.05
    rig.go_on(1.0)
    assert math.dist(rig.world.own.position, start) > 0.5


@pytest.mark.parametrize("result", [4, 6, 77], ids=["failed", "cancelled", "of a newer MAVLink"])
@DIALECTS
def test_a_vehicle_that_will_not_is_left_alone(make_rig: Callable[..., Any], dialect: Dialect, result: int) -> None:
    """One that never changes its mode is asked for some seconds; then the setpoints end and it is said why."""
    rig = make_rig(dialect)
    rig.vehicle.refuses[SET_MODE] = result
    rig.go_on(0.5)
    rig.autopilot.take()
    rig.go_on(8.0)
    assert rig.autopilot.control == "none"
    assert "refused" in rig.words()
    assert heard_by_vehicle(rig, "SET_POSITION_TARGET_LOCAL_NED") == []


def test_silence_is_no_consent(rig: Any) -> None:
    """A vehicle that neither answers nor changes its mode is given up on."""
    rig.vehicle.refuses[SET_MODE] = 1  # MAV_RESULT_TEMPORARILY_REJECTED
    rig.go_on(0.5)
    rig.autopilot.take()
    rig.go_on(7.0)
    assert rig.autopilot.control == "none"
    assert "did not go to Offboard" in rig.words()


@DIALECTS
def test_who_takes_the_vehicle_keeps_it(make_rig: Callable[..., Any], dialect: Dialect) -> None:
    """A change of mode by remote control ends our setpoints at once, and they never come back by themselves."""
    rig = make_rig(dialect)
    rig.take()
    rig.autopilot.command(EAST)
    rig.go_on(1.0)
    rig.vehicle.mode = dialect.hold
    rig.go_on(0.2)
    assert rig.autopilot.control == "none"
    assert "not ours now" in rig.words()
    rig.go_on(5.0)
    assert (rig.vehicle.mode, rig.autopilot.control) == (dialect.hold, "none")
    assert heard_by_vehicle(rig, "SET_POSITION_TARGET_LOCAL_NED") == []
    rig.take()  # but by an order they do


def test_motors_that_stop_end_it(rig: Any) -> None:
    """As after a kill switch."""
    rig.take()
    rig.vehicle.motors = False
    rig.go_on(0.2)
    assert rig.autopilot.control == "none"
    assert "motors stopped" in rig.words()


def test_a_lost_link_ends_the_setpoints(rig: Any) -> None:
    """Without telemetry it stands still within half a second; without a heartbeat for three it ends."""
    rig.take()
    rig.autopilot.command(EAST)
    rig.go_on(1.0)
    early = heard_by_vehicle(rig, "SET_POSITION_TARGET_LOCAL_NED", 0.3)
    assert {round(message.vy, 3) for message in early} == {1.0}
    heard_by_vehicle(rig, "SET_POSITION_TARGET_LOCAL_NED", 0.3)
    late = heard_by_vehicle(rig, "SET_POSITION_TARGET_LOCAL_NED", 1.0)
    assert len(late) > 10
    assert {(message.vx, message.vy, message.vz, message.yaw_rate) for message in late} == {(0, 0, 0, 0)}
    heard_by_vehicle(rig, "SET_POSITION_TARGET_LOCAL_NED", 2.5)
    assert heard_by_vehicle(rig, "SET_POSITION_TARGET_LOCAL_NED") == []
    assert rig.autopilot.control == "none"
    assert "link to the vehicle is lost" in rig.words()
    rig.go_on(3.0)
    assert rig.autopilot.connected
    assert rig.autopilot.control == "none"


def test_a_loop_that_hangs_stops_the_vehicle(rig: Any) -> None:
    """Setpoints end with the loop that sends them, and the vehicle's failsafe holds it."""
    rig.take()
    rig.autopilot.command(EAST)
    rig.go_on(2.0)
    assert rig.world.own.velocity[0] > 0.9
    rig.go_on(3.0, autopilot=False)
    assert rig.vehicle.mode == PX4.hold
    assert math.hypot(*rig.world.own.velocity) < 0.01
    rig.go_on(1.0)
    assert "No offboard signal" in rig.words()
    assert rig.autopilot.control == "none"


@DIALECTS
def test_handing_back(make_rig: Callable[..., Any], dialect: Dialect) -> None:
    """Released, it is asked to hold, stands, and hears no more setpoints."""
    rig = make_rig(dialect)
    rig.take()
    rig.autopilot.command(EAST)
    rig.go_on(1.0)
    rig.autopilot.release()
    rig.go_on(2.0)
    assert (rig.autopilot.control, rig.vehicle.mode) == ("none", dialect.hold)
    assert "handed back" in rig.words()
    assert math.hypot(*rig.world.own.velocity) < 0.02
    assert heard_by_vehicle(rig, "SET_POSITION_TARGET_LOCAL_NED") == []


def test_older_gimbals_are_asked_in_their_words(rig: Any) -> None:
    """A vehicle without a gimbal manager gets the older mount command."""
    rig.vehicle.refuses |= dict.fromkeys(GIMBAL_MANAGER, 3)  # MAV_RESULT_UNSUPPORTED
    rig.take()
    rig.autopilot.command(Velocity((0.0, 0.0, 0.0), 0.0, 1.1))
    rig.go_on(2.0)
    assert rig.world.own.tilt == pytest.approx(1.1, abs=0.01)
    assert heard_by_vehicle(rig, "GIMBAL_MANAGER_SET_PITCHYAW") == []


def test_a_fixed_camera_turns_with_the_body(make_rig: Callable[..., Any]) -> None:
    """Without a gimbal none is commanded, and the camera's pose has the body's roll and pitch in it."""
    rig = make_rig(tilt=0.3)
    rig.take()
    rig.autopilot.command(Velocity((0.0, 0.0, 0.0), 0.0, 1.1))
    rig.go_on(0.5)
    assert heard_by_vehicle(rig, "GIMBAL_MANAGER_SET_PITCHYAW") == []
    rig.autopilot.telemetry.pitch = 0.2
    assert rig.autopilot.own.tilt == pytest.approx(0.5), "whatever a gimbal says"
    looking = rig.autopilot.camera_pose().rotation @ (0.0, 0.0, 1.0)
    assert looking == pytest.approx((math.cos(0.5), 0.0, -math.sin(0.5)), abs=1e-3)
    rig.autopilot.telemetry.pitch, rig.autopilot.telemetry.roll = 0.0, 0.1
    right = rig.autopilot.camera_pose().rotation @ (1.0, 0.0, 0.0)
    assert right[2] == pytest.approx(-math.sin(0.1), abs=1e-3)


MOUNT = (0.12, 0.05, -0.06)


@pytest.mark.parametrize("tilt", [None, 0.3], ids=["gimbal", "fixed"])
def test_the_camera_is_where_it_is_mounted(make_rig: Callable[..., Any], tilt: float | None) -> None:
    """Its place turns with the body, whose nose is down here, heading north."""
    rig = make_rig(tilt=tilt, mount=MOUNT)
    rig.go_on(0.5)
    told = rig.autopilot.telemetry
    told.pitch, told.yaw, told.yaw_rate = 0.3, math.pi / 2, 0.0
    own, pose = rig.autopilot.own, rig.autopilot.camera_pose()
    ahead, left, up = MOUNT
    forward = ahead * math.cos(0.3) + up * math.sin(0.3)
    there = (-left, forward, up * math.cos(0.3) - ahead * math.sin(0.3))
    assert [c - p for c, p in zip(pose.position, own.position, strict=True)] == pytest.approx(there, abs=1e-6)
    rig.autopilot._mount = (0.0, 0.0, 0.0)
    assert rig.autopilot.camera_pose().position == pytest.approx(own.position), "control"


def say(rig: Any, message: Any, component: int = 1) -> None:
    """Have a component of the vehicle say something, and our end hear it."""
    voice = rig.ends[0]._mav
    voice.srcComponent, before = component, voice.srcComponent
    rig.ends[0].send(message)
    voice.srcComponent = before
    rig.autopilot.pump(rig.world.time)


def test_the_pose_is_the_autopilots(rig: Any) -> None:
    """A gimbal has an attitude and a place of its own, which are not the vehicle's; its tilt is the camera's."""
    words = rig.ends[0].messages
    attitude = words.MAVLink_attitude_message(0, 0.1, -0.4, 2.0, 0.0, 0.0, 0.0)
    place = words.MAVLink_local_position_ned_message(0, 50.0, 60.0, -70.0, 0.0, 0.0, 0.0)
    rig.go_on(0.5)
    before = rig.autopilot.own
    for message in (attitude, place):
        say(rig, message, GIMBAL)
    assert rig.autopilot.own == before
    half = 0.35
    looking = (math.cos(half), 0.0, -math.sin(half), 0.0)  # 0.7 down
    say(
        rig,
        words.MAVLink_gimbal_device_attitude_status_message(0, 0, 0, 0, looking, 0.0, 0.0, 0.0, 0),
        GIMBAL,
    )
    assert rig.autopilot.own.tilt == pytest.approx(0.7, abs=1e-6)
    say(rig, attitude)
    assert rig.autopilot.own.yaw == pytest.approx(math.pi / 2 - 2.0), "control: from the autopilot it counts"


def test_a_gimbal_that_fell_silent_is_where_it_was_told_to_be(rig: Any) -> None:
    """What it said last is half a second old at most."""
    rig.take()
    rig.autopilot.command(Velocity((0.0, 0.0, 0.0), 0.0, 1.1))
    rig.go_on(2.0)
    say(rig, rig.ends[0].messages.MAVLink_mount_orientation_message(0, 0.0, -20.0, 0.0))
    assert rig.autopilot.own.tilt == pytest.approx(math.radians(20)), "control: it is believed"
    rig.go_on(0.6, vehicle=False)
    assert rig.autopilot.own.tilt == pytest.approx(1.1)


@pytest.mark.parametrize(
    ("asker", "component", "ours"),
    [
        ((255, 190), 1, False),
        ((1, 190), 1, False),
        ((1, 191), GIMBAL, False),
        ((1, 191), 1, True),
        ((0, 0), 1, True),
    ],
)
def test_an_answer_to_others_is_none_to_us(rig: Any, asker: tuple[int, int], component: int, ours: bool) -> None:
    """A ground station that is refused a mode does not end our asking."""
    words = rig.ends[0].messages
    rig.go_on(0.5)
    rig.autopilot.take()
    say(rig, words.MAVLink_command_ack_message(SET_MODE, words.MAV_RESULT_DENIED, 0, 0, *asker), component)
    assert rig.autopilot.control == ("none" if ours else "asking")
    assert ("refused" in rig.words()) == ours


def test_setpoints_keep_their_rate(rig: Any) -> None:
    """20 a second, though the link is looked at every 20 ms and so no setpoint is sent when it is due."""
    rig.take()
    assert len(heard_by_vehicle(rig, "SET_POSITION_TARGET_LOCAL_NED", 2.0)) == pytest.approx(40, abs=1)


def test_other_autopilots_are_named_once(rig: Any) -> None:
    """A heartbeat of an autopilot that is neither is told, and no vehicle is met."""
    end = rig.ends[0]
    for _ in range(3):
        end.send(end.messages.MAVLink_heartbeat_message(2, 14, 129, 0, 4, 3))
        rig.go_on(0.02, vehicle=False)
    assert rig.words().count("neither PX4 nor ArduPilot") == 1
    assert rig.autopilot.dialect is None


def test_points_to_follow_are_refused(rig: Any) -> None:
    """Setpoints are velocities."""
    with pytest.raises(BadInput, match="velocities"):
        rig.autopilot.command(Follow((0.0, 0.0, 1.0)))


@DIALECTS
def test_modes_survive_the_way_out_and_back(dialect: Dialect) -> None:
    """The parameters of a mode command name the mode of the heartbeat."""
    assert find_dialect(dialect.autopilot) is dialect
    for mode in dialect.modes:
        assert dialect.mode_from(*dialect.mode_fields(mode)) == mode
