"""Pinhole cameras and poses: pixels to rays, rays to world points, and back.

World frame: x forward/east, y left/north, z up, metres (ROS REP 103). Camera frame: x right, y down, z forward
(optical). Pixels are ``(u, v)`` = (column, row) with centres at half integers, so a principal point given for
integer centres (OpenCV's convention) is 0.5 smaller than ours. Angles are radians.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from quadfollow_core.errors import BadGeometry

Vector = NDArray[np.float64]

BODY_FROM_OPTICAL: NDArray[np.float64] = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
"""Rotates optical axes (right, down, forward) into body axes (forward, left, up)."""

SMALLEST_FOCAL = 1e-3
LARGEST = 1e9
"""Pixels and metres beyond this are no camera's; below it, nothing computed from them can overflow."""
_DISTORTION_LENGTHS = (0, 4, 5, 8, 12, 14)
_UNDISTORT = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 40, 1e-8)
"""When the search for a distorted pixel's ray ends: so many rounds, or so small an error."""


@dataclass(frozen=True, slots=True)
class Intrinsics:
    """A pinhole camera with OpenCV's lens distortion ``(k1, k2, p1, p2[, k3[, k4, k5, k6[, …]]])``.

    Focal lengths and principal point are in pixels of the frame as sent.
    """

    fx: float
    fy: float
    cx: float
    cy: float
    distortion: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        _require_finite("intrinsics", (self.fx, self.fy, self.cx, self.cy, *self.distortion))
        if self.fx < SMALLEST_FOCAL or self.fy < SMALLEST_FOCAL:
            raise BadGeometry(f"focal lengths must be positive pixels, got fx={self.fx}, fy={self.fy}")
        if len(self.distortion) not in _DISTORTION_LENGTHS:
            raise BadGeometry(
                f"distortion takes {', '.join(map(str, _DISTORTION_LENGTHS))} coefficients, got {len(self.distortion)}"
            )

    @classmethod
    def from_fov(cls, width: int, height: int, vertical_fov: float) -> Intrinsics:
        """Make a centred camera with square pixels from its vertical field of view in radians."""
        focal = height / 2 / math.tan(vertical_fov / 2)
        return cls(focal, focal, width / 2, height / 2)

    def scaled(self, factor_u: float, factor_v: float) -> Intrinsics:
        """Return the same camera for a frame resized by these factors."""
        scaled = (self.fx * factor_u, self.fy * factor_v, self.cx * factor_u, self.cy * factor_v)
        return Intrinsics(*scaled, self.distortion)

    def unproject(self, u: float, v: float) -> Vector:
        """Return the ray ``(x, y, 1)`` in the camera frame through a pixel, lens distortion removed.

        Raises:
            BadGeometry: no ray ends in that pixel, so the polynomial does not hold there.
        """
        if not self.distortion:
            return np.array([(u - self.cx) / self.fx, (v - self.cy) / self.fy, 1.0])
        points = np.array([[[u, v]]], dtype=np.float64)
        lens = self._matrix(), np.array(self.distortion)
        x, y = cv2.undistortPoints(points, *lens, criteria=_UNDISTORT).reshape(2)
        ray = np.array([x, y, 1.0])
        if not (abs(ray) <= LARGEST).all() or math.dist(self.project(ray), (u, v)) > 1.0:
            raise BadGeometry(f"the lens distortion has no inverse at pixel ({u:.0f}, {v:.0f})")
        return ray

    def project(self, point: ArrayLike) -> tuple[float, float]:
        """Return the pixel of a point ``(x, y, z)`` in the camera frame.

        Raises:
            BadGeometry: the point does not lie in front of the camera.
        """
        position = np.asarray(point, dtype=np.float64)
        if not position[2] > 0:
            raise BadGeometry(f"only points in front of the camera have a pixel, got z={position[2]}")
        if not self.distortion:
            x, y, z = (float(value) for value in position)
            return self.fx * x / z + self.cx, self.fy * y / z + self.cy
        zero = np.zeros(3)
        pixels, _ = cv2.projectPoints(position.reshape(1, 3), zero, zero, self._matrix(), np.array(self.distortion))
        u, v = pixels.reshape(2)
        return float(u), float(v)

    def _matrix(self) -> NDArray[np.float64]:
        return np.array([[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]])


@dataclass(frozen=True, slots=True)
class Pose:
    """``world_from_camera``: where the camera's optical frame stands in the world.

    ``position`` is the optical centre ``(x, y, z)`` in metres, ``quaternion`` the rotation ``(x, y, z, w)`` that
    takes camera-frame vectors to the world frame.
    """

    position: tuple[float, float, float]
    quaternion: tuple[float, float, float, float]

    def __post_init__(self) -> None:
        _require_length("position", self.position, 3)
        _require_length("quaternion", self.quaternion, 4)
        _require_finite("pose", (*self.position, *self.quaternion))
        norm = math.hypot(*self.quaternion)
        if abs(norm - 1) > 1e-2:
            raise BadGeometry(f"the quaternion (x, y, z, w) must have length 1, got length {norm:.4g}")
        object.__setattr__(self, "quaternion", tuple(value / norm for value in self.quaternion))

    @classmethod
    def from_rpy(cls, position: tuple[float, float, float], roll: float, pitch: float, yaw: float) -> Pose:
        """Make a pose from a camera mount's roll, pitch and yaw in radians.

        ``R = Rz(yaw) · Ry(pitch) · Rx(roll)`` turns axes forward, left, up; yaw is counter-clockwise seen from
        above, and a positive pitch looks down.
        """
        _require_finite("roll, pitch, yaw", (roll, pitch, yaw))
        (cr, sr), (cp, sp), (cy, sy) = ((math.cos(angle), math.sin(angle)) for angle in (roll, pitch, yaw))
        around_x = np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
        around_y = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
        around_z = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
        return cls(position, quaternion_from_matrix(around_z @ around_y @ around_x @ BODY_FROM_OPTICAL))

    @property
    def rotation(self) -> NDArray[np.float64]:
        """The 3×3 matrix that takes camera-frame vectors to the world frame."""
        x, y, z, w = self.quaternion
        return np.array(
            [
                [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
                [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
                [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
            ]
        )

    def world_from_camera(self, point: ArrayLike) -> Vector:
        """Take a camera-frame point to the world frame."""
        return np.asarray(self.rotation @ np.asarray(point, dtype=np.float64) + self.position)

    def camera_from_world(self, point: ArrayLike) -> Vector:
        """Take a world-frame point to the camera frame."""
        return np.asarray(self.rotation.T @ (np.asarray(point, dtype=np.float64) - self.position))


@dataclass(frozen=True, slots=True)
class Camera:
    """Intrinsics and, where known, the pose at the moment of capture."""

    intrinsics: Intrinsics
    pose: Pose | None = None


def quaternion_from_matrix(rotation: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """Return ``(x, y, z, w)`` of a rotation matrix.

    Picks the eigenvector of the largest eigenvalue of Bar-Itzhack's symmetric 4×4 matrix (2000), which is stable
    at every angle.
    """
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = rotation
    symmetric = np.array(
        [
            [xx - yy - zz, yx + xy, zx + xz, zy - yz],
            [yx + xy, yy - xx - zz, zy + yz, xz - zx],
            [zx + xz, zy + yz, zz - xx - yy, yx - xy],
            [zy - yz, xz - zx, yx - xy, xx + yy + zz],
        ]
    )
    x, y, z, w = np.linalg.eigh(symmetric)[1][:, -1]
    sign = -1.0 if w < 0 else 1.0
    return float(x * sign), float(y * sign), float(z * sign), float(w * sign)


def bearing(ray: Vector) -> tuple[float, float]:
    """Return a camera-frame ray's ``(azimuth, elevation)`` in radians: right and up are positive."""
    x, y, z = (float(value) for value in ray)
    return math.atan2(x, z), math.atan2(-y, math.hypot(x, z))


def _require_finite(what: str, values: tuple[float, ...]) -> None:
    if not all(abs(value) <= LARGEST for value in values):
        raise BadGeometry(f"{what} must be finite numbers of at most {LARGEST:.0e}, got {list(values)}")


def _require_length(what: str, values: tuple[float, ...], length: int) -> None:
    if len(values) != length:
        raise BadGeometry(f"{what} takes {length} numbers, got {len(values)}")
