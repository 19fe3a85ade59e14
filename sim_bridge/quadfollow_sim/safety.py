"""The safety layer: what must hold whatever the controller wishes. Small pure rules, and the switch with its state.

A command is flown only if the switch is armed, the newest answer is fresh, and the first motion was earned by a
sure enough track. Fence, floor, ceiling and people are walls that no velocity may close on too fast.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from quadfollow_core.errors import BadInput
from quadfollow_core.track import Track
from quadfollow_sim.barrier import Wall, wall_from
from quadfollow_sim.limits import clamp
from quadfollow_sim.vehicle import MAX_COORDINATE, Brake
from quadfollow_sim.world import Point

Mode = Literal["disarmed", "armed", "holding", "aborted"]
Order = Literal["arm", "disarm", "hold", "resume", "abort"]

_ORDERS: Mapping[tuple[Mode, Order], Mode] = {
    ("disarmed", "arm"): "armed",
    ("armed", "disarm"): "disarmed",
    ("armed", "hold"): "holding",
    ("holding", "resume"): "armed",
    ("holding", "disarm"): "disarmed",
    ("aborted", "disarm"): "disarmed",
}
"""What each order does in each mode; ``abort`` aborts in every mode, all else changes nothing."""

GOALS: Mapping[Order, Mode] = {
    "arm": "armed",
    "disarm": "disarmed",
    "hold": "holding",
    "resume": "armed",
    "abort": "aborted",
}
"""The mode each order asks for."""

LEAST_WINDOW = 0.5
"""Seconds for which an answer is fresh at least."""
WINDOW_FRAMES = 4
"""Frame periods for which it is fresh, if that is longer."""


def obey(mode: Mode, order: Order) -> Mode:
    """The mode after an order. What is aborted must be disarmed before it can be armed."""
    return "aborted" if order == "abort" else _ORDERS.get((mode, order), mode)


def freshness_window(period: float) -> float:
    """Seconds after its capture for which an answer may steer, for a frame every ``period`` seconds."""
    return max(LEAST_WINDOW, WINDOW_FRAMES * period)


def is_fresh(captured: float, now: float, period: float) -> bool:
    """Whether an answer to a frame captured then may steer now; one from the future may not."""
    return 0 <= now - captured <= freshness_window(period)


def is_flyable(track: Track) -> bool:
    """Whether a track's numbers are within what a vehicle can meet."""
    numbers = (*track.position, *track.velocity, *track.position_sigma, *track.velocity_sigma, track.distance or 0.0)
    return all(abs(number) <= MAX_COORDINATE for number in numbers)


@dataclass(frozen=True, slots=True)
class Fence:
    """The box to stay in, world frame, metres."""

    west: float = -1e4
    east: float = 1e4
    south: float = -1e4
    north: float = 1e4
    floor: float = 1.2
    ceiling: float = 12.0

    def __post_init__(self) -> None:
        if not (self.west < self.east and self.south < self.north and self.floor < self.ceiling):
            raise BadInput(f"a fence needs room between its sides, got {self}")

    def walls(self, point: Point) -> tuple[Wall, ...]:
        """Its six sides, as they stand to a vehicle at ``point``."""
        x, y, z = point
        return (
            Wall((1.0, 0.0, 0.0), x - self.west),
            Wall((-1.0, 0.0, 0.0), self.east - x),
            Wall((0.0, 1.0, 0.0), y - self.south),
            Wall((0.0, -1.0, 0.0), self.north - y),
            Wall((0.0, 0.0, 1.0), z - self.floor),
            Wall((0.0, 0.0, -1.0), self.ceiling - z),
        )


@dataclass(frozen=True, slots=True)
class SafetyRule:
    """The numbers of the safety layer."""

    fence: Fence = field(default_factory=Fence)
    person_margin: float = 1.5
    """Least distance to any person, the target too, metres from the vertical axis of the body."""
    person_height: float = 1.8
    """Metres; the middle of a person is half of it above the ground."""
    min_confidence: float = 0.6
    """Least mean target probability before the first motion."""
    min_updates: int = 5
    """Least sightings before the first motion."""

    def __post_init__(self) -> None:
        margins = (self.person_margin, self.person_height)
        if not (all(0 < margin < math.inf for margin in margins) and 0 <= self.min_confidence <= 1):
            raise BadInput(f"safety takes positive margins and a confidence from 0 to 1, got {self}")

    def earns_first_motion(self, track: Track) -> bool:
        """Whether a track is sure enough to fly for."""
        sure = track.confidence is not None and track.confidence >= self.min_confidence
        return track.state == "following" and sure and track.updates >= self.min_updates

    def person_wall(self, person: Point, point: Point) -> Wall:
        """A person's vertical axis, as it stands to a vehicle at ``point``; ``person`` is the middle."""
        half = self.person_height / 2
        nearest = (person[0], person[1], clamp(point[2], person[2] - half, person[2] + half))
        return wall_from(nearest, point, self.person_margin)

    def walls(self, point: Point, people: Iterable[Point]) -> tuple[Wall, ...]:
        """All that a vehicle at ``point`` must keep away from."""
        return self.fence.walls(point) + tuple(self.person_wall(person, point) for person in people)


class Hearing:
    """A steersman's ears: orders turn the switch, the newest answer counts, and both say whether anything may be flown.

    Args:
        period: seconds between frames, which sets how old an answer may be.
        rule: says which track is sure enough for the first motion.
    """

    def __init__(self, period: float, rule: SafetyRule) -> None:
        self.mode: Mode = "disarmed"
        self.earned = False
        """Whether a sure track was flown for since the switch was armed."""
        self._period = period
        self._rule = rule
        self._newest: tuple[Track, float] | None = None

    def order(self, order: Order) -> Mode:
        """Obey an order of the operator and return the mode it led to."""
        self.mode = obey(self.mode, order)
        if self.mode in ("disarmed", "aborted"):
            self.earned = False
        return self.mode

    def hear(self, track: Track, captured: float, now: float) -> bool:
        """Take in the answer to a frame captured then; False where it is stale, not newer than the last, or absurd."""
        newer = self._newest is None or captured > self._newest[1]
        if not (newer and is_fresh(captured, now, self._period) and is_flyable(track)):
            return False
        self._newest = (track, captured)
        return True

    def track(self, now: float) -> Track | Brake:
        """The newest track extrapolated to now, or why nothing may be flown."""
        if self.mode != "armed":
            return Brake(self.mode)
        if self._newest is None or not is_fresh(self._newest[1], now, self._period):
            return Brake("no fresh answer")
        track, captured = self._newest
        self.earned = self.earned or self._rule.earns_first_motion(track)
        return track.after(now - captured)
