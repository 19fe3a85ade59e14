"""Draw coloured faces in space onto a picture, nearest last, and know what every pixel shows.

The canvas has four channels: RGB and the number of the thing drawn there, so one fill paints picture and label
alike. Class mask and depth follow from that number. Edges are hard: the simulator this imitates does not smooth
them either. Faces are drawn at twice the size and every second pixel kept, because OpenCV's fill also covers the
pixels its outline touches and would fatten thin limbs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from quadfollow_core.errors import BadInput
from quadfollow_core.geometry import Camera, Pose
from quadfollow_core.resize import BACKGROUND

Floats = NDArray[np.float64]
Colour = tuple[int, int, int]

NEAR = 0.2
"""Faces with a corner nearer than this along the optical axis are left out, metres."""
FINE = 2
"""The canvas is so many times finer than the picture it becomes."""
FIXED = 16.0
"""Sub-pixel steps of OpenCV's polygon fill (4 bits)."""
DEPTH_SCALE = 0.001
"""Metres per unit of the depth picture."""
FARTHEST = 60.0
"""Depth beyond this many metres is not measured."""
SUN = np.array([-0.45, -0.35, 0.82])
"""Towards the sun, in the world frame."""
AMBIENT = 0.38
"""Share of a face's colour that is seen without sun."""


@dataclass(frozen=True, slots=True)
class Solid:
    """A thing made of four-cornered faces.

    ``faces`` is ``(F, 4, 3)`` in the world frame, metres, corners counter-clockwise seen from outside; ``colours``
    is ``(F, 3)`` RGB 0–255. A flat thing has a ``normal``: its plane gives its depth, and its faces are painted in
    their order. Others count as standing upright at their mean distance, their farthest faces painted first.
    """

    faces: Floats
    colours: Floats
    label: int = BACKGROUND
    normal: Floats | None = None
    two_sided: bool = False


class View:
    """One camera looking at the world: its rotation, focal length and picture size, ready for many points."""

    def __init__(self, camera: Camera, width: int, height: int) -> None:
        pose = camera.pose or Pose((0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))
        self.camera = camera
        self.size = (width, height)
        self.position = np.array(pose.position)
        self.rotation = pose.rotation
        lens = camera.intrinsics
        self.focal, self.centre = np.array([lens.fx, lens.fy]), np.array([lens.cx, lens.cy])

    def to_camera(self, points: Floats) -> Floats:
        """Take world points ``(…, 3)`` to the camera frame."""
        return np.asarray((points - self.position) @ self.rotation)

    def to_pixels(self, points: Floats) -> Floats:
        """Project camera-frame points ``(…, 3)`` to pixels ``(…, 2)``, centres at half integers."""
        return np.asarray(points[..., :2] / points[..., 2:] * self.focal + self.centre)

    def inverse_depth(self, normal: Floats, point: Floats) -> tuple[float, float, float]:
        """Return ``(a, b, c)`` with ``1/z = a·u + b·v + c`` for the world plane through ``point``."""
        across = normal @ self.rotation
        offset = float(normal @ (point - self.position))
        a, b = across[:2] / self.focal / (offset or 1e-9)
        return float(a), float(b), float(across[2] / (offset or 1e-9) - a * self.centre[0] - b * self.centre[1])


class Canvas:
    """A picture in the making; start it with the ground and sky, then paint solids from far to near."""

    def __init__(self, view: View, backdrop: NDArray[np.uint8]) -> None:
        self._view = view
        numbered = np.dstack([backdrop, np.zeros(backdrop.shape[:2], dtype=np.uint8)])
        size = (view.size[0] * FINE, view.size[1] * FINE)
        self._pixels = np.asarray(cv2.resize(numbered, size, interpolation=cv2.INTER_NEAREST), dtype=np.uint8)
        ground = view.inverse_depth(np.array([0.0, 0.0, 1.0]), np.zeros(3))
        self._labels, self._planes = [BACKGROUND], [ground]

    def paint(self, solids: Sequence[Solid]) -> None:
        """Paint solids one behind the other: the farthest first."""
        seen = [(solid, self._view.to_camera(solid.faces)) for solid in solids]
        for solid, corners in sorted(seen, key=lambda item: -float(item[1][:, :, 2].mean())):
            self._paint(solid, corners)

    def _paint(self, solid: Solid, corners: Floats) -> None:
        keep = self._visible(solid, corners)
        if not keep.any():
            return
        corners, colours = corners[keep], solid.colours[keep]
        order = np.argsort(-corners[:, :, 2].mean(axis=1)) if solid.normal is None else np.arange(len(corners))
        outlines = self._outlines(corners[order])
        number = self._register(solid, corners)
        for outline, colour in zip(outlines, colours[order].tolist(), strict=True):
            cv2.fillConvexPoly(self._pixels, outline, (*colour, number), cv2.LINE_8, 4)

    def _visible(self, solid: Solid, corners: Floats) -> NDArray[np.bool_]:
        """Which faces lie in front of the lens, look this way and touch the picture."""
        keep = corners[:, :, 2].min(axis=1) > NEAR
        if not solid.two_sided:
            keep &= np.einsum("ij,ij->i", _normals(corners), corners[:, 0]) < 0
        if keep.any():
            pixels = self._view.to_pixels(corners[keep])
            inside = (pixels.max(axis=1) > 0).all(axis=1) & (pixels.min(axis=1) < self._view.size).all(axis=1)
            keep[keep] = inside
        return np.asarray(keep)

    def _outlines(self, corners: Floats) -> NDArray[np.int32]:
        # The kept pixel is the first of each FINE; OpenCV's integers are its pixels' centres.
        pixels = self._view.to_pixels(corners) * FINE - FINE / 2
        return np.asarray(np.clip(pixels, -4096, 8192) * FIXED, dtype=np.int32)

    def _register(self, solid: Solid, corners: Floats) -> int:
        if len(self._labels) == 256:
            raise BadInput("a canvas tells 255 things apart, and more than that are in view")
        self._labels.append(solid.label)
        if solid.normal is None:
            self._planes.append((0.0, 0.0, 1.0 / float(corners[:, :, 2].mean())))
        else:
            self._planes.append(self._view.inverse_depth(solid.normal, solid.faces[0, 0]))
        return len(self._labels) - 1

    def image(self) -> NDArray[np.uint8]:
        """The finished picture, ``(H, W, 3)`` uint8 RGB."""
        return np.ascontiguousarray(self._pixels[::FINE, ::FINE, :3])

    def mask(self) -> NDArray[np.uint8]:
        """The class of every pixel, ``(H, W)`` uint8."""
        table = np.zeros(256, dtype=np.uint8)
        table[: len(self._labels)] = self._labels
        return np.asarray(table[self._pixels[::FINE, ::FINE, 3]])

    def depth(self) -> NDArray[np.uint16]:
        """Planar depth of every pixel, ``(H, W)`` uint16 in units of DEPTH_SCALE metres, 0 where there is none."""
        width, height = self._view.size
        planes = np.array(self._planes, dtype=np.float32)[self._pixels[::FINE, ::FINE, 3]]
        u, v = np.arange(width, dtype=np.float32) + 0.5, np.arange(height, dtype=np.float32)[:, None] + 0.5
        inverse = planes[:, :, 0] * u + planes[:, :, 1] * v + planes[:, :, 2]
        metres = np.where(inverse > 1 / FARTHEST, 1 / np.maximum(inverse, 1 / FARTHEST), 0)
        return (metres / DEPTH_SCALE).astype(np.uint16)


def shade(faces: Floats, colours: Floats) -> Floats:
    """Light coloured faces ``(F, 4, 3)``: full colour towards the sun, AMBIENT of it turned away."""
    normals = _normals(faces)
    length = np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    lit = AMBIENT + (1 - AMBIENT) * np.clip(normals / length @ SUN, 0, 1)
    return np.asarray(np.clip(colours * lit[:, None], 0, 255))


def _normals(faces: Floats) -> Floats:
    """Outward normals of faces ``(F, 4, 3)``, as long as their area; np.cross takes four times as long."""
    a, b = (faces[:, 1] - faces[:, 0]).T, (faces[:, 3] - faces[:, 0]).T
    return np.stack([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]], axis=1)
