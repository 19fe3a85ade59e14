"""How somebody walks over paper."""

from __future__ import annotations

import math

from quadfollow_sim.world import Point


def walk(seconds: float) -> Point:
    """A round of 6 m radius at 1.2 m/s that begins at the origin."""
    angle = 1.2 * seconds / 6.0
    return 6.0 * math.sin(angle), 6.0 * (1 - math.cos(angle)), 0.85
