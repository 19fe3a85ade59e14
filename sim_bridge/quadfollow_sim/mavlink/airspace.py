"""A vehicle behind MAVLink as a world to fly in: pictures from one side, telemetry and setpoints on the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from quadfollow_core.geometry import Camera
from quadfollow_sim.airspace import Airspace
from quadfollow_sim.mavlink.autopilot import Autopilot
from quadfollow_sim.surroundings import Surroundings
from quadfollow_sim.vehicle import Command, OwnState
from quadfollow_sim.world import Observation

STEP = 0.02
"""Seconds between two looks at the link."""


class MavlinkAirspace:
    """A scene seen from a vehicle that an autopilot flies. Where the camera is, telemetry alone says.

    Args:
        scene: what is seen; of its pictures' cameras the intrinsics count, the pose does not.
        autopilot: what flies.
        advance: what lets the scene's time pass, such as :meth:`ImitatedVehicle.advance`.
    """

    def __init__(self, scene: Airspace, autopilot: Autopilot, advance: Callable[[float], None]) -> None:
        self._scene = scene
        self._autopilot = autopilot
        self._advance = advance
        self._reached = 0.0

    @property
    def time(self) -> float:
        """The scene's clock."""
        return self._scene.time

    @property
    def own(self) -> OwnState:
        """The vehicle's state, by its telemetry."""
        return self._autopilot.own

    @property
    def surroundings(self) -> Surroundings:
        """The scene's."""
        return self._scene.surroundings

    @property
    def collisions(self) -> tuple[str, ...]:
        """The scene's."""
        return self._scene.collisions

    def advance(self, time: float) -> None:
        """Go on until ``time``, hearing and answering the autopilot all the while."""
        while self._reached < time - STEP:
            self._advance_to(self._reached + STEP)
        self._advance_to(max(self._reached, time))

    def capture(self) -> Observation:
        """The scene's picture, taken from where telemetry says the camera is."""
        seen = self._scene.capture()
        if seen.camera is None:
            return seen
        return replace(seen, camera=Camera(seen.camera.intrinsics, self._autopilot.camera_pose()))

    def _advance_to(self, time: float) -> None:
        self._advance(time)
        self._autopilot.pump(self._scene.time)
        self._reached = time

    def command(self, command: Command) -> None:
        """Hand a command to the autopilot."""
        self._autopilot.command(command)
