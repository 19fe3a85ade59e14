"""Between our world frame (x east, y north, z up, counter-clockwise yaw) and MAVLink's (north, east, down, clockwise).

Each function is its own inverse: the same one takes a value in and out. Origins coincide: the world's is where the
autopilot's local position has its zero.
"""

from __future__ import annotations

import math

from quadfollow_sim.world import Point


def swap_axes(vector: Point) -> Point:
    """A position or velocity, east-north-up to north-east-down or back."""
    x, y, z = vector
    return y, x, -z


def swap_heading(yaw: float) -> float:
    """A heading in radians, counter-clockwise from east to clockwise from north or back, within ±π."""
    return math.remainder(math.pi / 2 - yaw, math.tau)
