"""Flight by physical tolerances: hover, steps, turns, wind, commands and collisions."""

from __future__ import annotations

import math

import numpy as np
import pytest

from quadfollow_core.errors import BadInput
from quadfollow_sim.city.city import City
from quadfollow_sim.city.flight import PERIOD, FlightController, Setpoint
from quadfollow_sim.city.looks import Setting
from quadfollow_sim.city.mesh import Floats
from quadfollow_sim.city.physics import Physics, Wind
from quadfollow_sim.vehicle import Brake, Follow, Velocity

HIGH = np.array([0.0, 0.0, 40.0])
STILL = Wind(np.zeros(3), 0.0, np.random.default_rng(0))


def fly(setting: Setting, setpoint: Setpoint, seconds: float, wind: Wind = STILL, start: Floats = HIGH) -> Floats:
    """Hold one set-point from a hover; return ``(N, 3)`` positions, one per control period."""
    physics = Physics(setting, (start, 0.0))
    controller = FlightController(physics.airframe, 0.0)
    track = []
    for _ in range(round(seconds / PERIOD)):
        state = physics.state
        track.append(state.position)
        physics.step(controller.thrusts(state, setpoint), wind.blow(PERIOD), 2)
    return np.array(track)


def test_hover(setting: Setting) -> None:
    """A hover stays within a centimetre for ten seconds."""
    track = fly(setting, Setpoint(position=(0.0, 0.0, 40.0)), 10)
    assert np.linalg.norm(track - HIGH, axis=1).max() < 0.01


@pytest.mark.parametrize(
    ("step", "seconds"), [((25.0, 0.0, 0.0), 9.5), ((0.0, 3.0, 0.0), 5.0), ((0.0, 0.0, -5.0), 6.0)]
)
def test_step(setting: Setting, step: tuple[float, float, float], seconds: float) -> None:
    """A step in position settles to 10 cm in time and overshoots by little."""
    goal = HIGH + step
    track = fly(setting, Setpoint(position=tuple(goal)), seconds + 3)
    far = np.linalg.norm(track - goal, axis=1)
    assert far[round(seconds / PERIOD) :].max() < 0.1
    along = (track - HIGH) @ (np.array(step) / np.linalg.norm(step))
    assert along.max() < np.linalg.norm(step) + 0.2


def test_velocity_is_flown(setting: Setting) -> None:
    """A velocity set-point is reached within two seconds, and kept to 10 cm/s."""
    track = fly(setting, Setpoint((2.0, -1.0, 0.5)), 6)
    speed = np.diff(track[round(3 / PERIOD) :], axis=0) / PERIOD
    assert np.abs(speed - [2.0, -1.0, 0.5]).max() < 0.1


def test_wind_is_held(setting: Setting) -> None:
    """In 4 m/s of gusty wind the place is held to 25 cm once trimmed."""
    wind = Wind(np.array([4.0, 0.0, 0.0]), 0.3, np.random.default_rng(1))
    track = fly(setting, Setpoint(position=(0.0, 0.0, 40.0)), 30, wind)
    assert np.linalg.norm(track[round(6 / PERIOD) :] - HIGH, axis=1).max() < 0.25


def test_wind_pushes(setting: Setting) -> None:
    """The wind is real: it moves a quadrotor whose thrusts only carry its weight."""
    physics = Physics(setting, (HIGH, 0.0))
    physics.step(np.full(4, physics.airframe.mass * 9.81 / 4), np.array([5.0, 0.0, 0.0]), 250)
    assert 0.3 < physics.state.position[0] < 3.0
    assert abs(physics.state.position[1]) < 1e-6


def test_thrust_lags(setting: Setting) -> None:
    """A commanded thrust arrives with the rotors' time constant, not at once."""
    physics = Physics(setting, (HIGH, 0.0))
    physics.step(np.full(4, 6.0), np.zeros(3), 1)
    first = physics.state.velocity[2]
    physics.step(np.full(4, 6.0), np.zeros(3), 100)
    before = physics.state.velocity[2]
    physics.step(np.full(4, 6.0), np.zeros(3), 1)
    assert 0 <= first < 0.3 * (physics.state.velocity[2] - before)


def test_yaw_turns_at_its_limit(city: City) -> None:
    """A yaw rate turns the heading and the camera with it."""
    start = city.state.yaw
    city.command(Velocity((0.0, 0.0, 0.0), yaw_rate=0.5))
    city.step(3.0)
    assert math.remainder(city.state.yaw - start, 2 * math.pi) == pytest.approx(1.5, abs=0.15)


def test_a_brake_may_go_on_looking(city: City) -> None:
    """A brake with a yaw rate and a tilt turns and tilts on the spot, and keeps its heading when they end."""
    start = city.state.position
    city.command(Brake("looking", yaw_rate=0.5, tilt=0.8))
    city.step(2.0)
    turned = city.state.yaw
    assert city.tilt == pytest.approx(0.8, abs=0.05)
    city.command(Brake())
    city.step(2.0)
    assert np.linalg.norm(city.state.position - start) < 0.3
    assert city.state.yaw == pytest.approx(turned, abs=0.3)


def test_velocity_command_and_brake(city: City) -> None:
    """A brake from 3 m/s stands still within two seconds and holds its place."""
    away = city.state.position[:2] - city.setting.crowd.middles(0.0)[0][:2]
    vx, vy = (float(value) for value in 3 * away / np.linalg.norm(away))
    city.command(Velocity((0.0, 0.0, 2.5)))
    city.step(6.0)
    city.command(Velocity((vx, vy, 0.0)))
    city.step(3.0)
    assert np.linalg.norm(city.state.velocity) == pytest.approx(3.0, abs=0.3)
    city.command(Brake())
    city.step(2.0)
    place = city.state.position
    assert np.linalg.norm(city.state.velocity) < 0.3
    city.step(3.0)
    assert np.linalg.norm(city.state.position - place) < 0.3


def test_tilt_command(city: City) -> None:
    """The camera tilts as told and stays level whatever the body does."""
    city.command(Velocity((1.0, 0.5, 0.0), tilt=0.6))
    for _ in range(10):
        city.step(0.1)
        pose = city.camera.pose
        assert pose is not None
        assert pose.rotation[2, 0] == pytest.approx(0.0, abs=1e-9)
    assert math.asin(-pose.rotation[2, 2]) == pytest.approx(0.6, abs=0.02)


@pytest.mark.parametrize("preset", ["plaza", "wind"])
def test_follow_keeps_near_and_looks(preset: str) -> None:
    """Told where the target is, the quadrotor keeps 2.5 to 7 m away, and in its picture's middle."""
    world = City(preset, 5, pictures=False)
    for _ in range(500):
        x, y, z = (float(value) for value in world.setting.crowd.middles(world.time)[0])
        world.command(Follow((x, y, z)))
        world.step(0.05)
        point = world.camera.pose.camera_from_world((x, y, z))  # type: ignore[union-attr]
        if world.time > 5:
            assert 2.5 < np.linalg.norm(world.state.position[:2] - [x, y]) < 7
            assert math.hypot(point[0], point[1]) / point[2] < 0.35
    assert not [touch for touch in world.collisions if touch.kind != "tree"]


def test_what_makes_no_sense_is_refused(city: City) -> None:
    """A velocity that is not finite, and a step back in time."""
    with pytest.raises(BadInput):
        Velocity((math.nan, 0.0, 0.0))
    with pytest.raises(BadInput):
        city.step(-1.0)


def test_clock_is_lockstep(city: City) -> None:
    """Frames of 50 ms add up exactly although a control period is 8 ms."""
    for _ in range(40):
        city.step(0.05)
    assert city.time == pytest.approx(2.0, abs=PERIOD)


def test_same_commands_same_flight() -> None:
    """Two cities of one seed fly the same way to the last bit, wind and all."""
    ends = []
    for _ in range(2):
        world = City("wind", 3, pictures=False)
        world.command(Velocity((1.0, 1.0, 0.2), yaw_rate=0.3))
        for _ in range(30):
            world.step(0.05)
        ends.append(world.state)
    assert np.array_equal(ends[0].position, ends[1].position)
    assert np.array_equal(ends[0].rotation, ends[1].rotation)


def test_ground_collision(city: City) -> None:
    """Flying into the ground is noted once, with its time."""
    city.command(Velocity((0.0, 0.0, -1.5)))
    city.step(4.0)
    assert "ground" in [touch.kind for touch in city.collisions]
    assert 1.0 < city.collisions[0].time < 3.5


def test_building_collision(setting: Setting) -> None:
    """Flying into a house's wall is noted as a building, and the wall holds."""
    house = setting.plan.buildings[0]
    x, y = house.outline.center
    physics = Physics(setting, (np.array([x, y, house.height + 3.0]), 0.0))
    physics.step(np.zeros(4), np.zeros(3), 400)
    assert "building" in physics.touching()
    assert physics.state.position[2] > house.height - 0.1


def test_person_collision(city: City) -> None:
    """Flying into a person is noted."""
    city.command(Velocity((0.0, 0.0, 0.0)))
    for _ in range(160):
        offset = city.setting.crowd.middles(city.time)[0] - city.state.position
        vx, vy, vz = (float(value) for value in 2.5 * offset / np.linalg.norm(offset))
        city.command(Velocity((vx, vy, vz)))
        city.step(0.05)
        if city.collisions:
            break
    assert city.collisions[0].kind == "person"
