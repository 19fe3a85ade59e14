"""The follow controller: from a track and the vehicle's own state to the motion wished for.

Pure functions of what is known now; limits, obstacles and safety come after (``pilot``). In the world frame the
vehicle keeps its distance and height and otherwise moves as little as it can: it flies to the nearest point of the
ring around the target, carried along at the target's velocity. While the target coasts the ring widens with the
doubt about its place, so that it comes back into view wherever it turned to. In bearing space it centres the target,
and closes or opens the distance where that is known and she is seen: nothing there tells how far it has come since.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from quadfollow_core.errors import BadInput
from quadfollow_core.track import Track
from quadfollow_sim.vehicle import OwnState, Velocity

NEAR = 0.5
"""Metres of horizontal distance below which the direction to the target says little."""

SURE = 0.25
"""Metres of doubt (one sigma) about the target's place that are usual while it is seen."""


@dataclass(frozen=True, slots=True)
class Formation:
    """Where the vehicle wants to be, seen from the target's middle, and how eagerly."""

    distance: float = 3.0
    """Horizontal metres."""
    height: float = 1.6
    """Metres above."""
    caution: float = 3.0
    """Metres to stand back per metre of doubt where the target is (one sigma; 60 degrees of view hold 1.7 more)."""
    farthest: float = 8.0
    """Metres to stand back at most."""
    place_gain: float = 1.0
    """Metres per second per metre of misplacement."""
    yaw_gain: float = 2.5
    """Radians per second per radian off centre."""

    def __post_init__(self) -> None:
        numbers = (self.distance, self.place_gain, self.yaw_gain, 1 + self.caution, self.farthest)
        if not (all(0 < number < math.inf for number in numbers) and math.isfinite(self.height)):
            raise BadInput(f"a formation takes positive numbers and a finite height, got {self}")

    def distance_to(self, track: Track) -> float:
        """The distance to keep: the wider the doubt about where the target is, the farther back."""
        doubt = max(0.0, max(track.position_sigma[:2], default=0.0) - SURE)
        return max(self.distance, min(self.farthest, self.distance + self.caution * doubt))


def follow(track: Track, own: OwnState, formation: Formation) -> Velocity | None:
    """The motion that follows a track extrapolated to now; None where it does not say in which direction."""
    if track.space == "world":
        return _in_world(track, own, formation)
    if track.space == "bearing":
        return _in_bearing(track, own, formation)
    return None


def _in_world(track: Track, own: OwnState, formation: Formation) -> Velocity:
    (x, y, z), (vx, vy, vz) = track.position, track.velocity
    dx, dy, dz = x - own.position[0], y - own.position[1], z - own.position[2]
    distance = math.hypot(dx, dy)
    east, north = (dx / distance, dy / distance) if distance > 1e-6 else (math.cos(own.yaw), math.sin(own.yaw))
    closer = formation.place_gain * (distance - formation.distance_to(track))
    climb = formation.place_gain * (dz + formation.height)
    return Velocity(
        linear=(vx + closer * east, vy + closer * north, vz + climb),
        yaw_rate=_turn(math.atan2(north, east), own, formation) + _sight_rate(dx, dy, track, own)
        if distance > NEAR
        else 0.0,
        tilt=math.atan2(-dz, max(distance, 1e-6)),
    )


def _turn(direction: float, own: OwnState, formation: Formation) -> float:
    """The yaw rate that turns towards a direction of the world, the shorter way round."""
    return formation.yaw_gain * math.remainder(direction - own.yaw, math.tau)


def _sight_rate(dx: float, dy: float, track: Track, own: OwnState) -> float:
    """How fast the line of sight turns by itself, radians per second: the cross product over the square."""
    vx, vy = track.velocity[0] - own.velocity[0], track.velocity[1] - own.velocity[1]
    return (dx * vy - dy * vx) / (dx * dx + dy * dy)


def _in_bearing(track: Track, own: OwnState, formation: Formation) -> Velocity:
    azimuth, elevation = track.position
    pitch = own.tilt - elevation
    ahead = 0.0
    if track.distance is not None and track.state == "following":
        ahead = formation.place_gain * (track.distance * math.cos(pitch) - formation.distance)
    direction = own.yaw - azimuth
    velocity = (ahead * math.cos(direction), ahead * math.sin(direction), 0.0)
    return Velocity(velocity, -formation.yaw_gain * azimuth, pitch)
