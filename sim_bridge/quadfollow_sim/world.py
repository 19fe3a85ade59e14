"""The seam between a world and the bridge: what a world shows, and how it is asked for the next picture.

A world is a :class:`FrameSource`; one that is flown in is a :class:`quadfollow_sim.airspace.Airspace`. The bridge owns
the pace: it asks for a picture when one is due, and says how many it has to pass over because it came too late for
them.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from quadfollow_core.codec import decode_image
from quadfollow_core.errors import BadInput
from quadfollow_core.geometry import Camera
from quadfollow_core.locate import Depth
from quadfollow_core.request import camera_header

Point = tuple[float, float, float]
"""A position ``(x, y, z)`` in the world frame, metres."""


@dataclass(frozen=True, slots=True)
class Observation:
    """One picture, and what the world knows of it; ``None`` is what it does not know."""

    image: bytes | NDArray[np.uint8] = field(repr=False)
    """A JPEG, PNG or WebP file, or ``(H, W, 3)`` uint8 RGB."""
    name: str
    """What the world calls the frame, such as its file."""
    captured: float = field(default_factory=time.monotonic)
    """Seconds at the moment of capture: ``time.monotonic()``, or the clock of a world that is flown in."""
    camera: Camera | None = None
    depth: Depth | None = field(default=None, repr=False)
    truth: NDArray[np.uint8] | None = field(default=None, repr=False)
    """``(H, W)`` class mask, 0 background, 1 person, 2 target; any size with the image's proportions."""
    target: Point | None = None
    """The middle of the target's body in the world frame, in view or not."""

    def __post_init__(self) -> None:
        if isinstance(self.image, np.ndarray) and (self.image.ndim != 3 or self.image.shape[2] != 3):
            raise BadInput(f"an image is (H, W, 3) RGB, got shape {self.image.shape}")
        if self.truth is not None and (self.truth.ndim != 2 or self.truth.dtype != np.uint8):
            raise BadInput(f"a truth mask is (H, W) uint8, got {self.truth.shape} {self.truth.dtype}")

    def pixels(self) -> NDArray[np.uint8]:
        """The picture as ``(H, W, 3)`` uint8 RGB."""
        return decode_image(self.image) if isinstance(self.image, bytes) else self.image


@runtime_checkable
class FrameSource(Protocol):
    """A world seen through one camera. ``for observation in iter(source.read, None)`` sees all of it."""

    @property
    def rate(self) -> float:
        """Pictures per second of the world's own time."""

    def read(self, skip: int = 0) -> Observation | None:
        """Pass over ``skip`` pictures and return the next one, captured now; None when there are no more."""

    def close(self) -> None:
        """Give back what the world holds."""


@runtime_checkable
class Timed(Protocol):
    """A world whose pictures have times of their own instead of a rate."""

    @property
    def times(self) -> Sequence[float]:
        """When each picture is due, seconds since the first, never falling."""

    @property
    def again(self) -> float | None:
        """Seconds after which they begin anew; None if they don't."""


@runtime_checkable
class Live(Protocol):
    """A world whose pictures come when they come, such as a camera's; no more of them are read than its rate."""

    @property
    def waiting(self) -> float | None:
        """Seconds that a picture has waited to be read; None while there is none, 0 once there will be no more."""

    @property
    def replaced(self) -> int:
        """Pictures that a newer one replaced since one was read."""


class ScriptedSource:
    """A world that shows the observations it is given: the public fake of this seam."""

    def __init__(self, observations: Iterable[Observation], rate: float = 20.0) -> None:
        self._rate = rate
        self._observations: Iterator[Observation] = iter(observations)

    @property
    def rate(self) -> float:
        """Pictures per second."""
        return self._rate

    def read(self, skip: int = 0) -> Observation | None:
        """Return the next observation after ``skip`` others, captured now."""
        for _ in range(skip):
            next(self._observations, None)
        observation = next(self._observations, None)
        return None if observation is None else replace(observation, captured=time.monotonic())

    def close(self) -> None:
        """Nothing to give back."""


def known_fields(observation: Observation) -> dict[str, Any]:
    """Say what is known of an observation's place, as keywords of :meth:`StreamClient.offer`.

    The target's true place is for those who look on: a server shows and publishes it, and never answers by it.
    """
    known: dict[str, Any] = {}
    if observation.camera is not None:
        known["camera"] = camera_header(observation.camera)
    if observation.depth is not None:
        known["depth_header"], known["depth"] = _depth_message(observation.depth)
    if observation.target is not None:
        known["truth"] = {"target": list(observation.target)}
    return known


def _depth_message(depth: Depth) -> tuple[dict[str, Any], bytes]:
    height, width = depth.values.shape
    whole = np.issubdtype(depth.values.dtype, np.integer)
    header: dict[str, Any] = {"encoding": "raw-u16" if whole else "raw-f32", "scale": depth.scale}
    header |= {"width": width, "height": height}
    if np.isfinite(depth.max_value):
        header["max_value"] = depth.max_value
    return header, depth.values.astype("<u2" if whole else "<f4").tobytes()
