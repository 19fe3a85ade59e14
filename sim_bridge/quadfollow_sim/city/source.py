"""The city as one of the bridge's worlds: frames at a rate, on the city's own clock, and a vehicle."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quadfollow_core.codec import encode_jpeg
from quadfollow_core.errors import BadInput
from quadfollow_core.locate import Depth
from quadfollow_sim.city.city import City, CityView
from quadfollow_sim.city.scene import FAR
from quadfollow_sim.vehicle import Command
from quadfollow_sim.world import Observation

QUALITY = 75
"""QuadSim's JPEG quality."""
DEPTH_SCALE = 0.002
"""Metres per unit of the 16-bit depth."""


@dataclass(frozen=True, slots=True)
class CityFrames:
    """How the city is shown: ``seconds`` of simulated time at ``rate`` frames per second, with depth or without."""

    seconds: float = 60.0
    rate: float = 20.0
    with_depth: bool = True

    def __post_init__(self) -> None:
        if not (self.seconds > 0 and self.rate > 0):
            raise BadInput(f"seconds and rate must be above zero, got {self.seconds} and {self.rate}")


class CitySource:
    """A :class:`FrameSource` and a :class:`Vehicle` over a city.

    The city advances by exactly one frame's time for every frame read or skipped, so a flight is the same whatever
    the machine's speed; whoever paces the reading decides whether that is real time.
    """

    def __init__(self, city: City, frames: CityFrames | None = None) -> None:
        self.city = city
        self._frames = frames or CityFrames()
        self._count = max(1, round(self._frames.seconds * self._frames.rate))
        self._next = 0
        self.view: CityView | None = None
        """The last frame with all that is known of it."""

    @property
    def rate(self) -> float:
        """Frames per second of the city's time."""
        return self._frames.rate

    def read(self, skip: int = 0) -> Observation | None:
        """Fly on past ``skip`` frames and return the next one; None at the end. The first is of time zero."""
        number = self._next + skip
        if number >= self._count:
            return None
        for _ in range(self._next, number + 1):
            self._advance()
        self.view = self.city.observe()
        return self._observation(self.view, number)

    def command(self, command: Command) -> None:
        """Give the quadrotor a command; it holds until the next one."""
        self.city.command(command)

    def close(self) -> None:
        """Give back what drawing took."""
        self.city.close()

    def _advance(self) -> None:
        if self._next > 0:
            self.city.step(1 / self._frames.rate)
        self._next += 1

    def _observation(self, view: CityView, number: int) -> Observation:
        return observed(view, frame_name(self.city, number), time.monotonic(), with_depth=self._frames.with_depth)


def frame_name(city: City, number: int) -> str:
    """Name a frame after its city."""
    return f"city_{city.setting.preset.name}_{city.setting.seed}_{number:05d}"


def observed(view: CityView, name: str, captured: float, *, with_depth: bool) -> Observation:
    """A view of the city as the bridge takes it: a JPEG with its truth."""
    x, y, z = (float(value) for value in view.target)
    return Observation(
        image=encode_jpeg(view.picture.rgb, QUALITY),
        name=name,
        captured=captured,
        camera=view.camera,
        depth=_depth(view.picture.depth) if with_depth else None,
        truth=view.picture.classes,
        target=(x, y, z),
    )


def _depth(metres: NDArray[np.float32]) -> Depth:
    """Depth as 16-bit values of 2 mm; what lies at the far plane carries no measurement."""
    values = np.round(metres / DEPTH_SCALE).astype(np.uint16)
    return Depth(values, DEPTH_SCALE, max_value=round(0.99 * FAR / DEPTH_SCALE))
