"""What is found in a frame, as frozen values.

Positions are in pixels of the frame as sent, ``(u, v)`` = (column, row), centres at half integers. "No target" is
``None``, never a centroid of (0, 0).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from quadfollow_core.errors import BadInput

DistanceSource = Literal["depth", "height"]
AnyBlob = TypeVar("AnyBlob", bound="Blob")


@dataclass(frozen=True, slots=True)
class Blob:
    """One connected group of pixels of a class."""

    centroid: tuple[float, float]
    """Mean pixel position ``(u, v)``."""
    box: tuple[float, float, float, float]
    """Outer edges ``(left, top, right, bottom)``."""
    area: float
    """Square pixels of the frame as sent."""

    def __post_init__(self) -> None:
        left, top, right, bottom = self.box
        if not (right > left and bottom > top and self.area > 0):
            raise BadInput(f"a blob needs a box and an area above zero, got box {self.box}, area {self.area}")


@dataclass(frozen=True, slots=True)
class Target(Blob):
    """The person to follow, with as much of its place in the world as the request allowed."""

    confidence: float
    """Mean target probability over the blob, 0 to 1."""
    azimuth: float | None = None
    """Radians in the camera frame, right positive; needs intrinsics."""
    elevation: float | None = None
    """Radians in the camera frame, up positive; needs intrinsics."""
    distance: float | None = None
    """Metres from the optical centre to the centroid's point."""
    distance_source: DistanceSource | None = None
    """``depth`` when measured, ``height`` when estimated from the apparent height."""
    world: tuple[float, float, float] | None = None
    """The centroid's point in the world frame, metres; needs pose and distance."""

    def __post_init__(self) -> None:
        Blob.__post_init__(self)
        if not 0 <= self.confidence <= 1:
            raise BadInput(f"confidence lies between 0 and 1, got {self.confidence}")


@dataclass(frozen=True, slots=True)
class Sighting:
    """All that was located in one frame."""

    target: Target | None
    people: tuple[Blob, ...] = ()
    candidates: tuple[Target, ...] = field(default=(), compare=False)
    """Further blobs that pass the rule, largest first, for the tracker to choose from; not part of a reply."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON, floats rounded to what they can carry."""
        target = None if self.target is None else _plain(self.target)
        return {"target": target, "people": [_plain(blob) for blob in self.people]}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Sighting:
        """Read what :meth:`as_dict` wrote; unknown keys are ignored."""
        target = data.get("target")
        people = tuple(_restore(Blob, blob) for blob in data.get("people", ()))
        return cls(None if target is None else _restore(Target, target), people)


def _plain(blob: Blob) -> dict[str, Any]:
    return {name: _rounded(getattr(blob, name)) for name in blob.__dataclass_fields__}


def _rounded(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_rounded(item) for item in value]
    return round(value, 5) if isinstance(value, float) and math.isfinite(value) else value


def _restore(kind: type[AnyBlob], data: dict[str, Any]) -> AnyBlob:
    names = kind.__dataclass_fields__
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in data.items() if key in names
    }
    return kind(**values)
