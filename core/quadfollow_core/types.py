"""What is found in a frame, as frozen values.

Positions are in pixels of the frame as sent, ``(u, v)`` = (column, row), centres at half integers. "No target" is
``None``, never a centroid of (0, 0).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, get_args

from quadfollow_core.errors import BadInput

DistanceSource = Literal["depth", "height"]
AnyBlob = TypeVar("AnyBlob", bound="Blob")
DIGITS = 5
"""Digits behind the point of what is written."""
_VECTORS = {"centroid": 2, "box": 4, "world": 3}
_OPTIONAL = ("azimuth", "elevation", "distance", "distance_source", "world")


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

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON, floats rounded to what they can carry."""
        (u, v), (left, top, right, bottom) = self.centroid, self.box  # spelt out: every answer has some
        return {
            "centroid": [round(u, DIGITS), round(v, DIGITS)],
            "box": [round(left, DIGITS), round(top, DIGITS), round(right, DIGITS), round(bottom, DIGITS)],
            "area": round(self.area, DIGITS),
        }


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

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON, floats rounded to what they can carry."""
        return Blob.as_dict(self) | {
            "confidence": round(self.confidence, DIGITS),
            "azimuth": _rounded(self.azimuth),
            "elevation": _rounded(self.elevation),
            "distance": _rounded(self.distance),
            "distance_source": self.distance_source,
            "world": None if self.world is None else [round(value, DIGITS) for value in self.world],
        }


@dataclass(frozen=True, slots=True)
class Sighting:
    """All that was located in one frame."""

    target: Target | None
    people: tuple[Blob, ...] = ()
    candidates: tuple[Target, ...] = field(default=(), compare=False)
    """Further blobs that pass the rule, largest first, for the tracker to choose from; not part of a reply."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON, floats rounded to what they can carry."""
        target = None if self.target is None else self.target.as_dict()
        return {"target": target, "people": [blob.as_dict() for blob in self.people]}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Sighting:
        """Read what :meth:`as_dict` wrote; unknown keys are ignored.

        Raises:
            BadInput: it is not a sighting.
        """
        try:
            target = data["target"]
            people = tuple(_restore(Blob, blob) for blob in data.get("people", ()))
            return cls(None if target is None else _restore(Target, target), people)
        except (AttributeError, LookupError, OverflowError, TypeError, ValueError) as error:
            raise BadInput(f"not a sighting: {error!r}") from error


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DIGITS)


def _restore(kind: type[AnyBlob], data: dict[str, Any]) -> AnyBlob:
    names = kind.__dataclass_fields__
    return kind(**{key: _checked(key, value) for key, value in data.items() if key in names})


def _checked(key: str, value: Any) -> Any:
    """One field's value from JSON, a list as a tuple.

    Raises:
        TypeError, ValueError, OverflowError: it is not what the field holds.
    """
    if value is None and key in _OPTIONAL:
        return None
    if key == "distance_source":
        fits = value in get_args(DistanceSource)
    elif key in _VECTORS:
        value = tuple(value)
        fits = len(value) == _VECTORS[key] and all(map(math.isfinite, value))
    else:
        fits = math.isfinite(value)
    if not fits:
        raise ValueError(f"{key} cannot be {value!r}")
    return value
