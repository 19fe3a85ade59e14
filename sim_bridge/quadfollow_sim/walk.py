"""Who goes where in the drawn street: the target's way, and the camera that follows it as a script says."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from quadfollow_core.geometry import Camera, Intrinsics, Pose
from quadfollow_sim.painter.figure import MIDDLE

SIZE = 256
"""Frames are SIZE × SIZE pixels."""
FOV = math.radians(60)
LENGTH = 12.0
"""Seconds until the walk starts anew."""
PACE = 1.485
"""The target's speed, m/s."""
PITCH = (math.radians(25), math.radians(32))
"""The camera looks down between these."""

# Share of LENGTH; then, of the camera as seen from the target: metres away, degrees off her heading, metres up;
# last, degrees it looks away from her.
SCRIPT = np.array(
    [
        (0.00, 3.2, 180, 3.0, 0),
        (0.12, 3.0, 172, 2.9, 0),
        (0.22, 2.3, 188, 2.6, 4),
        (0.33, 4.2, 204, 3.1, -5),
        (0.44, 9.0, 186, 3.4, 0),
        (0.52, 11.0, 178, 3.5, 6),
        (0.60, 9.0, 172, 3.4, 0),
        (0.66, 7.0, 170, 3.3, 62),
        (0.74, 6.0, 168, 3.2, 62),
        (0.80, 5.0, 165, 3.1, -4),
        (0.90, 3.2, 155, 3.0, 3),
        (1.00, 2.8, 196, 2.9, 0),
    ]
)


def target_at(seconds: float) -> tuple[float, float, float]:
    """The target's place on the ground and heading: ``(x, y, radians)`` in the world frame."""
    swing, turn = 0.7, 0.45
    slope = swing * turn * math.cos(turn * seconds) / PACE
    return -4 + PACE * seconds, 0.8 + swing * math.sin(turn * seconds), math.atan(slope)


def camera_at(seconds: float) -> Camera:
    """The camera at a time of the walk: it keeps her in view as the script says, looking down by PITCH at most."""
    distance, bearing, height, away = _scripted(seconds / LENGTH)
    x, y, heading = target_at(seconds)
    direction = heading + math.radians(bearing)
    position = (x + distance * math.cos(direction), y + distance * math.sin(direction), height)
    pitch = min(max(math.atan2(height - MIDDLE, distance), PITCH[0]), PITCH[1])
    yaw = direction + math.pi + math.radians(away)
    return Camera(Intrinsics.from_fov(SIZE, SIZE, FOV), Pose.from_rpy(position, 0.0, pitch, yaw))


def _scripted(share: float) -> NDArray[np.float64]:
    """The script's values at a share of the walk, eased between its rows."""
    row = min(int(np.searchsorted(SCRIPT[:, 0], share, side="right")), len(SCRIPT) - 1)
    before, after = SCRIPT[row - 1], SCRIPT[row]
    part = (share - before[0]) / (after[0] - before[0])
    eased = part * part * (3 - 2 * part)
    return np.asarray(before[1:] + (after[1:] - before[1:]) * min(max(eased, 0.0), 1.0))
