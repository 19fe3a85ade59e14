"""Signed distance fields of the city's plan: metres to an outline, negative inside. All take x and y arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quadfollow_sim.city.mesh import Floats


@dataclass(frozen=True, slots=True)
class Road:
    """A road that winds gently about a straight line through ``(origin_x, origin_y)`` along x or along y."""

    origin: tuple[float, float]
    along_y: bool
    half_width: float
    swing: float
    """How far the centre line leaves the straight line, metres."""
    wavelength: float
    phase: float

    def distance(self, x: Floats, y: Floats) -> Floats:
        """Return the distance to the carriageway's edge."""
        s, t = (y - self.origin[1], x - self.origin[0]) if self.along_y else (x - self.origin[0], y - self.origin[1])
        offset, slope = self._line(s)
        return np.asarray(np.abs(t - offset) / np.sqrt(1 + slope**2) - self.half_width)

    def point(self, s: Floats, lateral: Floats | float = 0.0) -> Floats:
        """Return ``(..., 2)`` points at ``s`` metres along the road, ``lateral`` metres to the left of its centre."""
        offset, slope = self._line(s)
        norm = np.sqrt(1 + slope**2)
        if self.along_y:
            x, y = offset - lateral / norm, s + lateral * slope / norm
        else:
            x, y = s - lateral * slope / norm, offset + lateral / norm
        return np.stack([x + self.origin[0], y + self.origin[1]], axis=-1)

    def heading(self, s: float) -> float:
        """Return the direction of the centre line, radians from x."""
        slope = float(self._line(np.asarray(s))[1])
        return float(np.arctan2(1.0, slope) if self.along_y else np.arctan2(slope, 1.0))

    def _line(self, s: Floats) -> tuple[Floats, Floats]:
        rate = 2 * np.pi / self.wavelength
        return self.swing * np.sin(rate * s + self.phase), self.swing * rate * np.cos(rate * s + self.phase)


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle about ``center`` with half sides ``half``, turned by ``yaw`` radians, corners rounded."""

    center: tuple[float, float]
    half: tuple[float, float]
    yaw: float = 0.0
    rounding: float = 0.0

    def distance(self, x: Floats, y: Floats) -> Floats:
        """Return the distance to the outline."""
        cos, sin = np.cos(self.yaw), np.sin(self.yaw)
        dx, dy = x - self.center[0], y - self.center[1]
        a = np.abs(cos * dx + sin * dy) - self.half[0] + self.rounding
        b = np.abs(cos * dy - sin * dx) - self.half[1] + self.rounding
        outside = np.hypot(np.maximum(a, 0), np.maximum(b, 0))
        return np.asarray(outside + np.minimum(np.maximum(a, b), 0) - self.rounding)

    def corners(self) -> Floats:
        """Return the ``(4, 2)`` corners, counter-clockwise."""
        cos, sin = np.cos(self.yaw), np.sin(self.yaw)
        local = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * self.half
        return np.asarray(local @ np.array([[cos, sin], [-sin, cos]]) + self.center)


@dataclass(frozen=True, slots=True)
class Disc:
    """A circle."""

    center: tuple[float, float]
    radius: float

    def distance(self, x: Floats, y: Floats) -> Floats:
        """Return the distance to the circle."""
        return np.asarray(np.hypot(x - self.center[0], y - self.center[1]) - self.radius)


Shape = Road | Box | Disc


def smooth_union(a: Floats, b: Floats, radius: float) -> Floats:
    """Join two fields with inner corners rounded to about ``radius`` metres (polynomial smooth minimum)."""
    blend = np.maximum(radius - np.abs(a - b), 0.0) / radius
    return np.asarray(np.minimum(a, b) - blend**2 * radius * 0.25)
