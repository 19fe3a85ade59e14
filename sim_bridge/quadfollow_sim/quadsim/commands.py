"""What QuadSim can be told, in its own words.

It takes points to follow, or that the target is lost; it flies itself. Positions are ours (world frame, metres). In
markers QuadSim expects degrees and the opposite of all three signs that it emits itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from quadfollow_core.errors import BadInput
from quadfollow_sim.quadsim.pose import Attitude
from quadfollow_sim.world import Point

DECIMALS = 4
FOR_EVER = -1.0


@dataclass(frozen=True, slots=True)
class Command:
    """An event for QuadSim: its name and its one argument."""

    name: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Box:
    """A translucent box shown to the person at QuadSim's window, never in the camera's picture.

    ``size`` is the extent along the box's own axes forward, left and up, metres; ``colour`` red, green, blue and
    opacity, 0 to 1. QuadSim keeps the first ``seconds`` of an id: moving a box starts them anew but cannot change them.
    """

    attitude: Attitude
    size: Point = (0.7, 0.7, 2.0)
    colour: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 0.1)
    seconds: float = 0.4

    def __post_init__(self) -> None:
        if not all(extent > 0 for extent in self.size):
            raise BadInput(f"a box needs extents above zero, got {self.size}")
        if not all(0 <= part <= 1 for part in self.colour):
            raise BadInput(f"a colour's parts lie between 0 and 1, got {self.colour}")
        if self.seconds != FOR_EVER and not self.seconds > 0:
            raise BadInput(f"seconds must be above zero, or {FOR_EVER:g} for ever, got {self.seconds}")


def object_detected(point: Point) -> Command:
    """Say where the target is, world frame. QuadSim then looks for its true hero itself, and follows that."""
    return Command("object_detected", {"coords": _rounded(point)})


def object_lost() -> Command:
    """Say that the target is lost: QuadSim goes back to its patrol."""
    return Command("object_lost", {})


def create_box_marker(number: int, box: Box) -> Command:
    """Show a box under an id; the same id moves the box."""
    turned = box.attitude
    angles = [-math.degrees(angle) for angle in (turned.roll, turned.pitch, turned.yaw)]
    data = {
        "id": _marker(number),
        "pose": _rounded((*turned.position, *angles)),
        "dimensions": _rounded(box.size),
        "color": _rounded(box.colour),
        "duration": float(box.seconds),
    }
    return Command("create_box_marker", data)


def delete_marker(number: int) -> Command:
    """Take one box away. There is no id for all of them: QuadSim's manual promises -1, its code does not know it."""
    return Command("delete_marker", {"id": _marker(number)})


def _marker(number: int) -> int:
    if number < 0:
        raise BadInput(f"a marker's id is 0 or above, got {number}")
    return number


def _rounded(values: tuple[float, ...]) -> list[float]:
    if not all(math.isfinite(value) for value in values):
        raise BadInput(f"QuadSim takes finite numbers only, got {list(values)}")
    # Adding zero turns -0.0 into 0.0; four decimals keep exponents, which QuadSim's reader may not know, away.
    return [round(float(value), DECIMALS) + 0.0 for value in values]
