"""The vehicle's end as MAVSDK sees it, the library that most programs talk to PX4 with: the real one, over UDP."""

from __future__ import annotations

import contextlib
import math
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from tests.sim_bridge.unhurried import PATIENCE, StallFreeClock

from quadfollow_sim.mavlink.dialect import ARDUPILOT, PX4, Dialect
from quadfollow_sim.mavlink.imitation import COMPONENT, STEP, SYSTEM, ImitatedVehicle
from quadfollow_sim.mavlink.link import Link
from quadfollow_sim.paper import PaperSpace

mavsdk = pytest.importorskip("mavsdk", reason="the MAVSDK client is not installed")


@dataclass
class Client:
    """A connected MAVSDK with what it is used for."""

    action: Any
    offboard: Any
    telemetry: Any
    gimbal: Any
    world: Any
    vehicle: ImitatedVehicle
    leave: Callable[[], None]
    """Ends the client in the middle of whatever it does."""


def wait_for(what: Callable[[], Any]) -> None:
    """Wait for something to be true."""
    end = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.05)


def free_port() -> int:
    """A port nobody listens at."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def fly_beside_the_clock(vehicle: ImitatedVehicle, stop: Callable[[], bool]) -> None:
    """Let a vehicle and its world go on as the clock does; a stall of the machine is no second without a setpoint."""
    clock = StallFreeClock()
    start = clock.monotonic()
    while not stop():
        vehicle.advance(clock.monotonic() - start)
        time.sleep(STEP / 2)


@contextlib.contextmanager
def connected(world: Any, dialect: Dialect = PX4) -> Iterator[Client]:
    """MAVSDK connected to a vehicle that flies in a world, in a thread, beside the real clock."""
    from mavsdk.plugins import action, gimbal, offboard, telemetry

    over = threading.Event()
    port = free_port()
    with contextlib.ExitStack() as stack:
        link = stack.enter_context(contextlib.closing(Link(f"udp://127.0.0.1:{port}", SYSTEM, COMPONENT)))
        vehicle = ImitatedVehicle(world, link, dialect)
        thread = threading.Thread(target=fly_beside_the_clock, args=(vehicle, over.is_set))
        thread.start()
        stack.callback(thread.join)
        stack.callback(over.set)
        kind = mavsdk.ComponentType.GROUND_STATION
        client = stack.enter_context(mavsdk.Mavsdk(mavsdk.Configuration.create_with_component_type(kind)))
        client.add_any_connection(f"udpin://127.0.0.1:{port}")
        system = client.first_autopilot(PATIENCE)
        assert system is not None
        plugins = action.Action, offboard.Offboard, telemetry.Telemetry, gimbal.Gimbal
        yield Client(*(plugin(system) for plugin in plugins), world, vehicle, client.destroy)


def fly(client: Client) -> None:
    """Connect, arm, go offboard with velocities, turn, stop: what MAVSDK says must be what the world knows."""
    from mavsdk.plugins.offboard import VelocityBodyYawspeed, VelocityNedYaw
    from mavsdk.plugins.telemetry import FlightMode

    wait_for(client.telemetry.health_all_ok)
    assert not client.telemetry.armed()
    client.action.arm()
    wait_for(client.telemetry.armed)
    client.offboard.set_velocity_ned(VelocityNedYaw(1.0, 0.5, -0.25, 0.0))  # north, east, down; heading north
    client.offboard.start()
    wait_for(lambda: client.telemetry.flight_mode() == FlightMode.OFFBOARD)
    x, y, z = client.world.own.position
    wait_for(lambda: client.world.own.position[1] > y + 3.0)
    east, north, up = (now - then for now, then in zip(client.world.own.position, (x, y, z), strict=True))
    assert east == pytest.approx(north / 2, abs=0.4)
    assert up == pytest.approx(north / 4, abs=0.4)
    wait_for(lambda: abs(client.world.own.yaw - math.pi / 2) < 0.1)
    client.offboard.set_velocity_body(VelocityBodyYawspeed(0.0, 0.0, 0.0, 30.0))  # clockwise
    wait_for(lambda: client.world.own.yaw < math.pi / 2 - 0.5)
    client.offboard.stop()
    wait_for(lambda: client.telemetry.flight_mode() != FlightMode.OFFBOARD)
    wait_for(lambda: math.hypot(*client.world.own.velocity) < 0.05)
    wait_for(lambda: told_place(client) == pytest.approx(client.world.own.position, abs=0.1))


def told_place(client: Client) -> tuple[float, float, float]:
    """Where MAVSDK takes the vehicle to be, in our axes."""
    place = client.telemetry.position_velocity_ned().position
    return place.east_m, place.north_m, -place.down_m


@pytest.mark.slow
@pytest.mark.parametrize("dialect", [PX4, ARDUPILOT], ids=lambda dialect: dialect.name)
def test_mavsdk_flies_a_point(dialect: Dialect) -> None:
    """Without physics, with either autopilot's modes."""
    with connected(PaperSpace(lambda _: (0.0, 0.0, 0.85)), dialect) as client:
        fly(client)


def test_mavsdk_flies_the_citys_quadrotor() -> None:
    """With rotors, drag and wind; the view above the street is enough to stay clear of everything."""
    from quadfollow_core.errors import Unavailable
    from quadfollow_sim.city.airspace import CityAirspace
    from quadfollow_sim.city.city import City

    try:
        world = CityAirspace(City("plaza", 1, pictures=False))
    except Unavailable as error:
        pytest.skip(str(error))
    with connected(world) as client:
        fly(client)
    assert world.collisions == ()


@pytest.mark.slow
def test_mavsdk_turns_the_gimbal() -> None:
    """By the gimbal protocol: it finds the gimbal, takes it and points it down."""
    from mavsdk.plugins.gimbal import ControlMode, GimbalMode, SendMode

    with connected(PaperSpace(lambda _: (0.0, 0.0, 0.85))) as client:
        wait_for(lambda: client.gimbal.gimbal_list().gimbals)
        number = client.gimbal.gimbal_list().gimbals[0].gimbal_id
        client.gimbal.take_control(number, ControlMode.PRIMARY)
        client.gimbal.set_angles(number, 0.0, -50.0, 0.0, GimbalMode.YAW_FOLLOW, SendMode.ONCE)
        wait_for(lambda: client.world.own.tilt == pytest.approx(math.radians(50), abs=0.02))


@pytest.mark.slow
def test_a_client_that_goes_away_leaves_a_hovering_vehicle() -> None:
    """When MAVSDK ends in flight, so do its setpoints, and the vehicle holds by itself."""
    from mavsdk.plugins.offboard import VelocityNedYaw

    with connected(PaperSpace(lambda _: (0.0, 0.0, 0.85))) as client:
        wait_for(client.telemetry.health_all_ok)
        client.action.arm()
        client.offboard.set_velocity_ned(VelocityNedYaw(1.0, 0.0, 0.0, 0.0))
        client.offboard.start()
        wait_for(lambda: client.world.own.velocity[1] > 0.9)
        client.leave()
        wait_for(lambda: client.vehicle.mode == PX4.hold)
        wait_for(lambda: math.hypot(*client.world.own.velocity) < 0.05)
