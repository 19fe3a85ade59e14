"""What to do when the target is lost: go and look where it went, then sweep.

How long ago the target was seen decides, so there is no phase to keep or to reset; the side by which it left is all
that is remembered.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from quadfollow_core.errors import BadInput
from quadfollow_core.track import Track
from quadfollow_sim.follow import Formation, follow
from quadfollow_sim.vehicle import OwnState, Velocity


@dataclass(frozen=True, slots=True)
class Search:
    """How a lost target is looked for."""

    chase_for: float = 3.0
    """Seconds for which it is supposed to have walked on."""
    look_for: float = 5.0
    """Seconds since the last sighting after which the sweep begins."""
    scan: tuple[float, float] = (0.8, 3.0)
    """While it looks where the target went, how far to each side, radians, and seconds there and back."""
    sweep_rate: float = 0.8
    """Radians per second: once round in 8 s."""
    sweep_pitch: float = 0.3
    """Radians, down positive."""

    def __post_init__(self) -> None:
        times = (self.chase_for, self.look_for)
        numbers = (*times, self.scan[0], abs(self.sweep_rate), abs(self.sweep_pitch))
        if not (all(0 <= number < math.inf for number in numbers) and self.scan[1] > 0):
            raise BadInput(f"a search takes finite numbers, its times not below zero, got {self}")


def search(track: Track, own: OwnState, formation: Formation, plan: Search, side: float = 1.0) -> Velocity:
    """The motion that looks for a target whose track, extrapolated to now, is lost or empty.

    ``side`` is what :func:`side_of` said when the target was last followed.
    """
    if track.age is not None and track.age <= plan.look_for:
        wish = follow(_where_it_went(track, plan), own, formation)
        if wish is not None:
            return replace(wish, yaw_rate=wish.yaw_rate + formation.yaw_gain * _aside(track.age, plan, side))
    return Velocity((0.0, 0.0, 0.0), math.copysign(plan.sweep_rate, side), plan.sweep_pitch)


def _where_it_went(track: Track, plan: Search) -> Track:
    """The place where the target stopped, had it walked on for ``chase_for`` seconds after it was last seen."""
    back = max(0.0, (track.age or 0.0) - plan.chase_for)
    position = tuple(p - v * back for p, v in zip(track.position, track.velocity, strict=True))
    return replace(track, position=position, velocity=(0.0,) * len(track.velocity))


def _aside(age: float, plan: Search, side: float) -> float:
    """How far beside the place to look now, radians: to and fro, first to the side that the target moved to."""
    far, period = plan.scan
    return math.copysign(far, side) * math.sin(math.tau * age / period)


def side_of(track: Track, own: OwnState) -> float:
    """The side to which the target moves, seen from the vehicle: positive is left, counter-clockwise."""
    if track.space == "bearing":
        return -track.velocity[0]
    if track.space != "world":
        return 1.0
    dx, dy = track.position[0] - own.position[0], track.position[1] - own.position[1]
    return dx * track.velocity[1] - dy * track.velocity[0]
