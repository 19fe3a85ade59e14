"""A target followed over time: the value that answers carry, and the seam behind which trackers lie.

A track lives in the best space its frames allow: ``world`` (metres, x east, y north, z up; needs intrinsics, pose
and a distance), ``bearing`` (radians in the camera frame, azimuth right positive, elevation up positive; needs
intrinsics) or ``pixel`` (``(u, v)`` of the frame as sent). Nothing here reads a clock: time comes in with the frame.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, get_args

from quadfollow_core.errors import BadInput
from quadfollow_core.geometry import Camera
from quadfollow_core.types import DistanceSource, Sighting

State = Literal["searching", "following", "coasting", "lost"]
Space = Literal["world", "bearing", "pixel"]
DIMENSIONS: Mapping[Space, int] = {"world": 3, "bearing": 2, "pixel": 2}
REWIND = 1.0
"""Seconds by which a stream's clock must jump back to count as a new start; by less, the frame is merely late."""
MAX_TIME = 1e20
"""Largest time, before 0 or after: nanoseconds since 1970 pass, and no difference of two can overflow."""
_VECTORS = ("position", "velocity", "position_sigma", "velocity_sigma")


@dataclass(frozen=True, slots=True)
class Look:
    """What one frame showed, and when: all that a tracker is told."""

    sighting: Sighting
    time: float
    """Seconds on any clock that runs forward along the stream: the capture time where the client gives one."""
    camera: Camera | None = None
    depth_step: float = 0.0
    """Metres between neighbouring values of the depth picture, 0 where it is fine (QuadSim: 0.39)."""

    def __post_init__(self) -> None:
        if not (abs(self.time) <= MAX_TIME and math.isfinite(self.depth_step) and self.depth_step >= 0):
            raise BadInput(
                f"a look needs finite numbers and a time within {MAX_TIME:g} of 0, "
                f"got time {self.time}, depth_step {self.depth_step}"
            )


@dataclass(frozen=True, slots=True)
class Track:
    """Where the target is believed to be at ``time``, and how well that is known.

    ``searching``: nobody confirmed yet; ``following``: seen in this frame; ``coasting``: out of sight, predicted;
    ``lost``: out of sight for too long, the place is a guess. Vectors are empty while there is no place.
    """

    state: State
    time: float
    """Seconds, the clock of :class:`Look`."""
    space: Space | None = None
    position: tuple[float, ...] = ()
    """``(x, y, z)`` metres, ``(azimuth, elevation)`` radians or ``(u, v)`` pixels."""
    velocity: tuple[float, ...] = ()
    """The same per second."""
    position_sigma: tuple[float, ...] = ()
    """One standard deviation per axis."""
    velocity_sigma: tuple[float, ...] = ()
    age: float | None = None
    """Seconds since the target was last seen; None before the first time."""
    updates: int = 0
    """Sightings taken in since the target was first confirmed."""
    distance: float | None = None
    """Metres from the camera."""
    distance_source: DistanceSource | None = None
    """Where the last distance came from: ``depth`` is measured, ``height`` estimated."""
    confidence: float | None = None
    """Mean target probability of the last sighting taken in."""

    def __post_init__(self) -> None:
        if self.state not in get_args(State) or self.space not in (None, *get_args(Space)):
            raise BadInput(f"a track has no state {self.state!r} in space {self.space!r}")
        expected = 0 if self.space is None else DIMENSIONS[self.space]
        lengths = [len(getattr(self, name)) for name in _VECTORS]
        if any(length != expected for length in lengths):
            raise BadInput(f"a track in space {self.space} has {expected} numbers per vector, got {lengths}")
        if not all(math.isfinite(value) for value in self._numbers()):
            raise BadInput("a track holds finite numbers only")

    @property
    def world(self) -> tuple[float, float, float] | None:
        """The position ``(x, y, z)`` in the world frame, None in another space."""
        return (self.position[0], self.position[1], self.position[2]) if self.space == "world" else None

    def after(self, seconds: float) -> Track:
        """The same track extrapolated at constant velocity; the sigmas grow by the velocity's, no more."""
        position = tuple(p + v * seconds for p, v in zip(self.position, self.velocity, strict=True))
        spread = tuple(
            math.hypot(p, v * seconds) for p, v in zip(self.position_sigma, self.velocity_sigma, strict=True)
        )
        age = None if self.age is None else self.age + seconds
        return replace(self, time=self.time + seconds, position=position, position_sigma=spread, age=age)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON: the reply key ``track``."""
        return {name: _plain(getattr(self, name)) for name in self.__dataclass_fields__}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Track:
        """Read what :meth:`as_dict` wrote; unknown keys are ignored.

        Raises:
            BadInput: it is not a track.
        """
        try:
            known = {key: value for key, value in data.items() if key in cls.__dataclass_fields__}
            return cls(**known | {key: tuple(known[key]) for key in _VECTORS if key in known})
        except (AttributeError, OverflowError, TypeError, ValueError) as error:
            raise BadInput(f"not a track: {error}") from error

    def _numbers(self) -> tuple[float, ...]:
        known = tuple(value for value in (self.age, self.distance, self.confidence) if value is not None)
        vectors = (*self.position, *self.velocity, *self.position_sigma, *self.velocity_sigma)
        return (self.time, self.updates, *known, *vectors)


class Tracker(Protocol):
    """Turns the looks of one stream into its track; see :func:`quadfollow_core.trackers.make_tracker`."""

    def update(self, look: Look) -> Track:
        """Take in one frame; a look that is older than the last one changes nothing."""

    def reset(self) -> None:
        """Forget the target."""


def is_late(look: Look, track: Track | None) -> bool:
    """Whether a look shows nothing new beside the stream's last track: not newer, yet not a clock set back."""
    return track is not None and track.time - REWIND < look.time <= track.time


def is_rewound(look: Look, track: Track | None) -> bool:
    """Whether the stream's clock was set back, so that what was known is of another time."""
    return track is not None and look.time <= track.time - REWIND


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return round(value, 5) if isinstance(value, float) else value
