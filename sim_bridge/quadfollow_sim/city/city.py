"""The city as a world to fly in: a lockstep clock over physics, flight, people and pictures."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.random import Generator

from quadfollow_core.errors import BadInput
from quadfollow_core.geometry import Camera, Intrinsics
from quadfollow_sim.city.flight import PERIOD, FlightController
from quadfollow_sim.city.gimbal import Gimbal
from quadfollow_sim.city.looks import Setting, draw_setting
from quadfollow_sim.city.mesh import Floats
from quadfollow_sim.city.physics import TIMESTEP, Physics, State, Wind
from quadfollow_sim.city.pilot import Pilot
from quadfollow_sim.city.presets import Preset
from quadfollow_sim.city.renderer import Picture, Renderer
from quadfollow_sim.vehicle import Command

FIELD_OF_VIEW = math.radians(60)
_STEPS = round(PERIOD / TIMESTEP)
_PEOPLE_EVERY = 5
"""Control periods between two moves of the people's capsules: 25 Hz."""


@dataclass(frozen=True, slots=True)
class Collision:
    """A touch that began at ``time`` seconds with a ``building``, ``tree``, ``person``, …"""

    time: float
    kind: str


@dataclass(frozen=True, slots=True)
class CityView:
    """One picture and the whole truth beside it; positions in the world frame, metres."""

    time: float
    """Simulated seconds."""
    picture: Picture = field(repr=False)
    camera: Camera
    target: Floats
    """``(3,)`` the middle of the target's body, in view or not."""
    target_velocity: Floats
    """``(3,)`` m/s"""
    people: Floats
    """``(P, 3)`` middles of everybody else's bodies."""
    vehicle: State
    """The quadrotor."""


class City:
    """A quadrotor in a city; the same preset, seed, outfit, commands and steps give the same pictures.

    ``pictures=False`` is for physics alone; nothing is drawn then.
    """

    def __init__(
        self,
        preset: str | Preset = "street",
        seed: int = 0,
        *,
        outfit: str = "red",
        size: int = 256,
        pictures: bool = True,
    ) -> None:
        self.setting = draw_setting(preset, seed, outfit)
        self._renderer: Renderer | None = Renderer(self.setting, size) if pictures else None
        self._lens = Intrinsics.from_fov(size, size, FIELD_OF_VIEW)
        self._physics = Physics(self.setting, start_place(self.setting))
        self._wind = _draw_wind(self.setting)
        self._gimbal = Gimbal()
        self._pilot = Pilot(self._physics.state)
        self._flight = FlightController(self._physics.airframe, self._physics.state.yaw)
        self._ticks, self._asked = 0, 0.0
        self._touched: frozenset[str] = frozenset()
        self.collisions: list[Collision] = []
        """Every touch so far, oldest first."""
        self._physics.move_people(self.setting.crowd.feet(0.0))

    @property
    def time(self) -> float:
        """Simulated seconds since the start."""
        return self._ticks * PERIOD

    @property
    def state(self) -> State:
        """The quadrotor's state."""
        return self._physics.state

    @property
    def tilt(self) -> float:
        """The camera's angle below the horizon, radians."""
        return self._gimbal.tilt

    @property
    def camera(self) -> Camera:
        """The camera's intrinsics and its pose now."""
        return Camera(self._lens, self._gimbal.pose(self._physics.state))

    def command(self, command: Command) -> None:
        """Give the quadrotor a command; it holds until the next one."""
        self._pilot.command(command, self._physics.state)

    def step(self, duration: float) -> None:
        """Advance by ``duration`` seconds; what is no whole number of 8 ms control periods is carried over."""
        if not 0 <= duration < math.inf:
            raise BadInput(f"time goes forward by finite steps, got {duration} s")
        self._asked += duration
        while (self._ticks + 0.5) * PERIOD <= self._asked:
            self._tick()

    def _tick(self) -> None:
        if self._ticks % _PEOPLE_EVERY == 0:
            self._physics.move_people(self.setting.crowd.feet(self.time))
        state = self._physics.state
        setpoint, tilt = self._pilot.steer(state, self._gimbal.tilt)
        self._gimbal.turn(tilt, PERIOD)
        self._physics.step(self._flight.thrusts(state, setpoint), self._wind.blow(PERIOD), _STEPS)
        self._ticks += 1
        self._note_touches()

    def _note_touches(self) -> None:
        touching = self._physics.touching()
        self.collisions += [Collision(self.time, kind) for kind in sorted(touching - self._touched)]
        self._touched = touching

    def observe(self) -> CityView:
        """Draw what the camera sees now.

        Raises:
            BadInput: the city was made without pictures.
        """
        if self._renderer is None:
            raise BadInput("this city was made without pictures")
        self._renderer.pose_people(self.time)
        camera = self.camera
        middles = self.setting.crowd.middles(self.time)
        return CityView(
            time=self.time,
            picture=self._renderer.render(camera),
            camera=camera,
            target=middles[0],
            target_velocity=self.setting.crowd.velocities(self.time)[0],
            people=middles[1:],
            vehicle=self._physics.state,
        )

    def close(self) -> None:
        """Give back what pictures took."""
        if self._renderer is not None:
            self._renderer.close()
        self._renderer = None


def start_place(setting: Setting) -> tuple[Floats, float]:
    """Choose where to start: about 6 m behind the target and 2.8 m up, in the clear, heading for her."""
    target, heading = setting.crowd.middles(0.0)[0], float(setting.crowd.headings(0.0)[0])
    rng = setting.generator(3)
    turns = np.concatenate([[0.0], rng.normal(0, 1.2, 60)])
    for turn, distance in zip(turns, rng.uniform(4.5, 6.5, len(turns)), strict=True):
        x, y = target[:2] - distance * np.array([np.cos(heading + turn), np.sin(heading + turn)])
        if _is_clear(setting, target, np.array([x, y])):
            break
    return np.array([x, y, 2.8]), float(np.arctan2(target[1] - y, target[0] - x))


def _is_clear(setting: Setting, target: Floats, place: Floats) -> bool:
    """Tell whether a place and the straight line from it to the target are free."""
    line = place + (target[:2] - place) * np.linspace(0, 0.85, 20)[:, None]
    room = setting.plan.free(line[:, 0], line[:, 1])
    return bool(room[0] > 1.2 and room.min() > 0.3)


def _draw_wind(setting: Setting) -> Wind:
    rng: Generator = setting.generator(4)
    angle, speed = float(rng.uniform(0, 2 * np.pi)), float(rng.uniform(*setting.preset.wind))
    return Wind(speed * np.array([np.cos(angle), np.sin(angle), 0.0]), setting.preset.gusts, rng)
