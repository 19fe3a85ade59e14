"""The walk: where each of a person's bones is at a phase of the stride, for all people at once."""

from __future__ import annotations

import numpy as np

from quadfollow_sim.city.bodies import BONES, JOINTS
from quadfollow_sim.city.mesh import Floats

SWING = 0.42
"""Largest angle of the thigh, radians."""
STRIDE = 0.86
"""Length of a stride (two steps) in body heights: four times the leg's reach at ``SWING``."""
_LEG = 0.53
_PARENTS = (-1, 0, 1, 1, 3, 1, 5, 0, 7, 8, 0, 10, 11)


def pose_bones(feet: Floats, yaw: Floats, phase: Floats, height: Floats) -> tuple[Floats, Floats]:
    """Return ``(P, 13, 3)`` joint positions in metres and ``(P, 13, 4)`` rotations (w, x, y, z), world frame.

    Args:
        feet: ``(P, 3)`` points on the ground between the feet.
        yaw: ``(P,)`` headings in radians from x.
        phase: ``(P,)`` radians, 2π a stride.
        height: ``(P,)`` body heights in metres.
    """
    angles = _swings(phase)
    local = _joints(angles, phase) * height[:, None, None]
    cos, sin = np.cos(yaw)[:, None], np.sin(yaw)[:, None]
    x, y, z = np.moveaxis(local, 2, 0)
    positions = np.stack([cos * x - sin * y, sin * x + cos * y, z], axis=-1) + feet[:, None]
    return positions, _rotations(angles, yaw)


def _swings(phase: Floats) -> Floats:
    """Return ``(P, 13)`` angles of each bone from upright, radians, forward positive for what hangs down."""
    sin, cos = np.sin(phase), np.cos(phase)
    angles = np.zeros((len(phase), len(BONES)))
    for sign, arm, leg in ((1.0, 3, 7), (-1.0, 5, 10)):
        angles[:, leg] = sign * SWING * sin
        bent = 0.1 + 0.85 * np.maximum(sign * cos, 0) ** 1.5
        angles[:, leg + 1] = angles[:, leg] - bent
        angles[:, leg + 2] = angles[:, leg + 1] * 0.6
        angles[:, arm] = -sign * 0.7 * SWING * sin
        angles[:, arm + 1] = angles[:, arm] + 0.3 + 0.15 * np.maximum(-sign * sin, 0)
    angles[:, 1] = -0.05
    return angles


def _joints(angles: Floats, phase: Floats) -> Floats:
    """Chain the bones from the pelvis out, in body heights; the pelvis sinks as the legs spread."""
    joints = np.zeros((len(phase), len(BONES), 3))
    joints[:, 0] = JOINTS[0]
    joints[:, 0, 2] -= _LEG * (1 - np.cos(SWING * np.sin(phase)))
    for bone, parent in enumerate(_PARENTS[1:], start=1):
        dx, dy, dz = JOINTS[bone] - JOINTS[parent]
        cos, sin = np.cos(angles[:, parent]), np.sin(angles[:, parent])
        offset = np.stack([cos * dx - sin * dz, np.full_like(cos, dy), sin * dx + cos * dz], axis=1)
        joints[:, bone] = joints[:, parent] + offset
    return joints


def _rotations(angles: Floats, yaw: Floats) -> Floats:
    """Quaternions of a swing about -y followed by the heading about z."""
    cos_z, sin_z = np.cos(yaw / 2)[:, None], np.sin(yaw / 2)[:, None]
    cos_y, sin_y = np.cos(angles / 2), -np.sin(angles / 2)
    return np.stack([cos_z * cos_y, -sin_z * sin_y, cos_z * sin_y, sin_z * cos_y], axis=-1)
