"""Where a camera stands for labelled pictures: following the target, on patrol, or high above."""

from __future__ import annotations

import math

import numpy as np
from numpy.random import Generator

from quadfollow_core.geometry import Camera, Intrinsics, Pose
from quadfollow_sim.city.looks import Setting
from quadfollow_sim.city.mesh import Floats
from quadfollow_sim.city.plan import WALKED

FOLLOW, PATROL, HIGH = range(3)
SHARES = (0.45, 0.30, 0.25)
"""How many of the views are of each kind."""
_TRIES = 40


def draw_view(setting: Setting, time: float, lens: Intrinsics, rng: Generator) -> Camera:
    """Draw a camera for the city at ``time`` seconds; it stands in no house and no bush."""
    kind = int(rng.choice(3, p=SHARES))
    middles = setting.crowd.middles(time)
    for _ in range(_TRIES):
        pose = _draw_follow(middles[0], rng) if kind == FOLLOW else _draw_patrol(middles, kind, rng)
        target = middles[0] if kind == FOLLOW else None
        if _is_clear(setting, pose, target):
            return Camera(lens, pose)
    x, y = setting.plan.stage
    return Camera(lens, Pose.from_rpy((x, y, 9.0), 0.0, 0.5, float(rng.uniform(-np.pi, np.pi))))


def _draw_follow(target: Floats, rng: Generator) -> Pose:
    """2 to 6 m away, one to three metres above her chest at most, aimed at it but for a few degrees."""
    distance, bearing = float(rng.uniform(2, 6)), float(rng.uniform(-np.pi, np.pi))
    rise = float(rng.uniform(0.1, 0.55)) * distance
    chest = target + [0, 0, 0.25]
    place = chest + [distance * math.cos(bearing), distance * math.sin(bearing), rise]
    aside, down = (float(value) for value in rng.normal(0, (0.12, 0.08)))
    return _pose(place, math.atan2(rise, distance) + down, bearing + math.pi + aside)


def _draw_patrol(middles: Floats, kind: int, rng: Generator) -> Pose:
    """Some way from somebody (the target in half of the views), heading roughly there."""
    somebody = middles[0] if rng.random() < 0.5 else middles[int(rng.integers(len(middles)))]
    distance, bearing = float(rng.uniform(5, 32)), float(rng.uniform(-np.pi, np.pi))
    height, down = ((2.5, 4.5), (8, 32)) if kind == PATROL else ((5.0, 18.0), (12, 42))
    x, y = somebody[:2] + distance * np.array([math.cos(bearing), math.sin(bearing)])
    place = np.array([x, y, rng.uniform(*height)])
    return _pose(place, math.radians(rng.uniform(*down)), bearing + math.pi + float(rng.normal(0, 0.3)))


def _pose(place: Floats, pitch: float, yaw: float) -> Pose:
    x, y, z = (float(value) for value in place)
    return Pose.from_rpy((x, y, z), 0.0, pitch, yaw)


def _is_clear(setting: Setting, pose: Pose, target: Floats | None) -> bool:
    """Tell whether the camera stands free above the ground and, where given, no house hides the target."""
    place = np.array(pose.position)
    if place[2] < 0.5 or np.abs(place[:2]).max() > WALKED + 15:
        return False
    if place[2] < 4.5 and float(setting.plan.free(place[0], place[1])) < 0.4:
        return False
    line = place if target is None else place + (target - place) * np.linspace(0, 1, 12)[:, None]
    x, y, z = np.atleast_2d(line).T
    return all(
        bool(((building.outline.distance(x, y) > 0.6) | (z > building.height + 6.0)).all())
        for building in setting.plan.buildings
    )
