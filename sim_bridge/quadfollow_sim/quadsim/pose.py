"""QuadSim's poses: one string of six numbers in degrees and metres, in the number format of its computer's language.

``"x,y,z,roll,pitch,yaw"``, world axes as ours. QuadSim prints angles where Unity has them: roll and yaw in (-360, 0],
pitch in [0, 360), so that 350 means 10 degrees up. ``R = Rz(yaw) · Ry(pitch) · Rx(roll)``, a positive pitch looks
down, yaw is counter-clockwise seen from above. Every number has exactly four decimals and may have thousands
separators, which in English are the very comma that joins the list.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from quadfollow_core.errors import BadMessage
from quadfollow_core.geometry import Pose
from quadfollow_sim.vehicle import MAX_COORDINATE
from quadfollow_sim.world import Point

REMEDY = (
    "QuadSim prints its numbers in the language of its computer, and may read ours in it too. Start it with an English "
    "number format (Linux: `LC_ALL=en_US.UTF-8` before the command; Windows and macOS: set the region's number format "
    "to 1,234.56) and connect again"
)

_GROUPS = " '\u2019\u00a0\u202f"
"""Thousands separators of the world's languages, apart from comma and point."""
_POINT_NUMBER = r"-?\d{1,3}(?:,\d{2,3})*\.\d{4}|-?\d+\.\d{4}"
_COMMA_NUMBER = r"-?\d{1,3}(?:\.\d{2,3})*,\d{4}|-?\d+,\d{4}"
_POINT_LIST = re.compile(rf"(?:{_POINT_NUMBER})(?:,(?:{_POINT_NUMBER})){{5}}")
_COMMA_LIST = re.compile(rf"(?:{_COMMA_NUMBER})(?:,(?:{_COMMA_NUMBER})){{1,11}}")


class WrongCulture(BadMessage):
    """Numbers in a format with decimal commas. It will not pass by itself; the message names the remedy."""


@dataclass(frozen=True, slots=True)
class Attitude:
    """Where a thing stands in the world and how it is turned.

    ``position`` in metres; ``roll``, ``pitch`` and ``yaw`` in radians in [-π, π), axes forward, left, up.
    """

    position: Point
    roll: float
    pitch: float
    yaw: float

    def camera_pose(self) -> Pose:
        """Return the optical pose of a camera that looks along this attitude's forward axis."""
        return Pose.from_rpy(self.position, self.roll, self.pitch, self.yaw)


def parse_pose(text: object, what: str) -> Attitude:
    """Read one of QuadSim's poses.

    Args:
        text: the value as it came.
        what: its key, for messages.

    Raises:
        WrongCulture: numbers with decimal commas.
        BadMessage: anything else that is not six finite numbers.
    """
    if not isinstance(text, str):
        raise BadMessage(f"{what} must be a string of six numbers, got {type(text).__name__}")
    x, y, z, roll, pitch, yaw = numbers = _numbers(text, what)
    if max(map(abs, numbers)) > MAX_COORDINATE:
        raise BadMessage(f"{what} must hold numbers up to {MAX_COORDINATE:g}, got {_shown(text)}")
    return Attitude((x, y, z), *(wrap(math.radians(angle)) for angle in (roll, pitch, yaw)))


def wrap(angle: float) -> float:
    """Bring an angle in radians into [-π, π)."""
    wrapped = math.remainder(angle, math.tau)
    return -math.pi if wrapped >= math.pi else wrapped


def _numbers(text: str, what: str) -> list[float]:
    plain = text.translate({ord(sign): None for sign in _GROUPS}).replace("\u2212", "-")
    if _POINT_LIST.fullmatch(plain):
        return [float(found.replace(",", "")) for found in re.findall(_POINT_NUMBER, plain)]
    if _COMMA_LIST.fullmatch(plain):
        raise WrongCulture(f"{what} has decimal commas: {_shown(text)}. {REMEDY}")
    parts = plain.split(",")
    if len(parts) != 6:
        raise BadMessage(f"{what} must be six numbers joined by commas, got {_shown(text)}")
    return [_finite(part, what, text) for part in parts]


def _finite(part: str, what: str, text: str) -> float:
    try:
        value = float(part)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise BadMessage(f"{what} must hold finite numbers only, got {_shown(text)}")
    return value


def _shown(text: str) -> str:
    return repr(text if len(text) <= 120 else text[:117] + "...")
