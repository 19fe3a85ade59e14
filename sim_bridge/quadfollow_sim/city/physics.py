"""The physics model: a quadrotor with lagged thrust, drag and wind among solid houses, trunks and people.

Leaves do not stop it: of a tree only the trunk is solid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator

from quadfollow_sim.city.gl import load_mujoco
from quadfollow_sim.city.looks import Setting
from quadfollow_sim.city.mesh import Floats

TIMESTEP = 0.004
"""Seconds: 250 Hz."""
GRAVITY = 9.81
_BODY_RADIUS = 0.22
"""Radius of the capsule that stands for a person, metres."""


@dataclass(frozen=True, slots=True)
class Airframe:
    """The quadrotor's make: an X of four rotors, body axes forward, left, up."""

    mass: float = 1.1
    inertia: tuple[float, float, float] = (0.010, 0.011, 0.018)
    arm: float = 0.13
    """Distance of a rotor's axis from the body's middle along x and along y, metres."""
    max_thrust: float = 6.2
    """Of one rotor, newtons: 2.3 times the weight together."""
    lag: float = 0.045
    """Time constant of a rotor's thrust, seconds."""
    twist: float = 0.016
    """Torque about the axis per newton of thrust, metres."""
    drag: tuple[float, float] = (0.16, 0.03)
    """Newtons per m/s and per (m/s)² of air speed."""
    radius: float = 0.24

    @property
    def mixing(self) -> Floats:
        """The 4×4 matrix from rotor thrusts to total thrust and torque about x, y and z."""
        a, k = self.arm, self.twist
        return np.array([[1.0] * 4, [a, a, -a, -a], [-a, a, a, -a], [k, -k, k, -k]])

    @property
    def rotors(self) -> list[tuple[float, float, float]]:
        """Positions along x and y and spin of the rotors, in the order of the mixing matrix's columns."""
        a = self.arm
        return [(a, a, 1.0), (-a, a, -1.0), (-a, -a, 1.0), (a, -a, -1.0)]


@dataclass(frozen=True, slots=True)
class State:
    """Where the quadrotor is and how it moves."""

    position: Floats
    """World frame, metres."""
    velocity: Floats
    """World frame, m/s."""
    rotation: Floats
    """3×3, from body axes (forward, left, up) to the world frame."""
    rates: Floats
    """Body frame, rad/s."""

    @property
    def yaw(self) -> float:
        """Heading in radians, counter-clockwise from x."""
        return float(np.arctan2(self.rotation[1, 0], self.rotation[0, 0]))


class Wind:
    """A steady wind with gusts: an Ornstein-Uhlenbeck process with a memory of three seconds."""

    MEMORY = 3.0

    def __init__(self, mean: Floats, gusts: float, rng: Generator) -> None:
        self._mean, self._spread, self._rng = mean, gusts * float(np.linalg.norm(mean)), rng
        self._gust = np.zeros(3)

    def blow(self, duration: float) -> Floats:
        """Return the wind ``(3,)`` in m/s, world frame, after ``duration`` seconds more."""
        keep = np.exp(-duration / self.MEMORY)
        noise = self._rng.standard_normal(3) * [1, 1, 0.3]
        self._gust = self._gust * keep + noise * (self._spread * np.sqrt(1 - keep**2))
        return np.asarray(self._mean + self._gust)


class Physics:
    """One quadrotor in one setting."""

    def __init__(self, setting: Setting, start: tuple[Floats, float]) -> None:
        self.airframe = Airframe()
        self._mujoco = load_mujoco()
        self._model = _compile(self._mujoco, setting, self.airframe)
        self._data = self._mujoco.MjData(self._model)
        self._kinds = [self._model.geom(index).name.rstrip("0123456789") for index in range(self._model.ngeom)]
        self._hull = self._model.geom("drone").id
        self._body = self._model.body("drone").id
        self._half_heights = setting.crowd.heights / 2
        self._place(*start)

    def _place(self, position: Floats, yaw: float) -> None:
        data, hover = self._data, self.airframe.mass * GRAVITY / 4
        data.qpos[:] = [*position, np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2)]
        data.act[:] = data.ctrl[:] = hover
        self._mujoco.mj_forward(self._model, data)

    @property
    def state(self) -> State:
        """The quadrotor's state now."""
        data = self._data
        rotation = data.xmat[self._body].reshape(3, 3).copy()
        return State(data.qpos[:3].copy(), data.qvel[:3].copy(), rotation, data.qvel[3:].copy())

    def move_people(self, feet: Floats) -> None:
        """Put everybody's capsule on ``(P, 3)`` points of the ground."""
        self._data.mocap_pos[:] = feet
        self._data.mocap_pos[:, 2] += self._half_heights

    def step(self, thrusts: Floats, wind: Floats, steps: int = 1) -> None:
        """Advance by ``steps`` of 4 ms with four commanded thrusts (newtons) in a wind (m/s, world frame)."""
        air = self._data.qvel[:3] - wind
        linear, square = self.airframe.drag
        self._data.ctrl[:] = thrusts
        self._data.xfrc_applied[self._body, :3] = -air * (linear + square * np.sqrt(air @ air))
        self._mujoco.mj_step(self._model, self._data, steps)

    def touching(self) -> frozenset[str]:
        """Name the kinds of things the quadrotor touches, such as ``building``, ``tree``, ``person``, ``ground``."""
        pairs = self._data.contact.geom[: self._data.ncon]
        return frozenset(self._kinds[other] for pair in pairs for other in pair if other != self._hull)


def _compile(mujoco: Any, setting: Setting, airframe: Airframe) -> Any:
    spec = mujoco.MjSpec()
    spec.option.timestep = TIMESTEP
    spec.option.gravity = [0, 0, -GRAVITY]
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    _add_drone(mujoco, spec, airframe)
    _add_solids(mujoco, spec, setting)
    for index, height in enumerate(setting.crowd.heights):
        body = spec.worldbody.add_body(name=f"body{index}", mocap=True)
        size = [_BODY_RADIUS, height / 2 - _BODY_RADIUS, 0]
        _add_solid(body, f"person{index}", mujoco.mjtGeom.mjGEOM_CAPSULE, size)
    return spec.compile()


def _add_drone(mujoco: Any, spec: Any, airframe: Airframe) -> None:
    body = spec.worldbody.add_body(
        name="drone", mass=airframe.mass, inertia=airframe.inertia, explicitinertial=True, ipos=[0, 0, 0]
    )
    body.add_freejoint()
    hull = [airframe.radius, airframe.radius, 0.07]
    body.add_geom(
        name="drone", type=mujoco.mjtGeom.mjGEOM_ELLIPSOID, size=hull, contype=1, conaffinity=0, friction=[0.4, 0, 0]
    )
    for index, (x, y, spin) in enumerate(airframe.rotors):
        body.add_site(name=f"rotor{index}", pos=[x, y, 0])
        motor = spec.add_actuator(name=f"motor{index}", target=f"rotor{index}", trntype=mujoco.mjtTrn.mjTRN_SITE)
        motor.dyntype = mujoco.mjtDyn.mjDYN_FILTEREXACT
        motor.dynprm[0] = airframe.lag
        motor.gainprm[0] = 1
        motor.gear = [0, 0, 1, 0, 0, spin * airframe.twist]
        motor.ctrllimited, motor.ctrlrange = True, [0, airframe.max_thrust]


def _add_solid(body: Any, name: str, kind: Any, size: list[float], **where: Any) -> None:
    body.add_geom(name=name, type=kind, size=size, contype=0, conaffinity=1, **where)


def _add_solids(mujoco: Any, spec: Any, setting: Setting) -> None:
    kinds, world, plan = mujoco.mjtGeom, spec.worldbody, setting.plan
    _add_solid(world, "ground", kinds.mjGEOM_PLANE, [0, 0, 1])
    for index, building in enumerate(plan.buildings):
        (x, y), (a, b), half = building.outline.center, building.outline.half, building.height / 2
        turn = [np.cos(building.outline.yaw / 2), 0, 0, np.sin(building.outline.yaw / 2)]
        _add_solid(world, f"building{index}", kinds.mjGEOM_BOX, [a, b, half], pos=[x, y, half], quat=turn)
    for index, tree in enumerate(plan.trees):
        _add_pillar(kinds, world, f"tree{index}", tree.position, 0.15, tree.height * 0.75)
    for index, bed in enumerate(plan.beds):
        _add_pillar(kinds, world, f"bed{index}", bed.disc.center, bed.disc.radius, max(0.35, bed.bush * 0.8))
    for index, post in enumerate(plan.posts):
        _add_pillar(kinds, world, f"post{index}", post, 0.06, 5.2)
    for index, (x, y, _) in enumerate(plan.signs):
        _add_pillar(kinds, world, f"sign{index}", (x, y), 0.05, 2.7)


def _add_pillar(kinds: Any, world: Any, name: str, at: tuple[float, float], radius: float, height: float) -> None:
    _add_solid(world, name, kinds.mjGEOM_CYLINDER, [radius, height / 2, 0], pos=[*at, height / 2])
