"""Does the far plane that was set fit what the depth pictures show? The ground knows.

A pixel that looks down at flat ground must measure the distance to it, which follows from the camera's pose. Each
frame gives the far plane at which most of its downward pixels would lie on the ground; walls and people scatter, the
ground agrees. Builds of QuadSim differ by factors of two and five, so a coarse answer settles it.
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np
from numpy.typing import NDArray

from quadfollow_core.geometry import Camera
from quadfollow_sim.quadsim.frames import SKY

KNOWN = (100.0, 50.0, 500.0)
"""Far planes of QuadSim's builds, metres, the likeliest first."""
TOLERANCE = math.log2(1.3)
ENOUGH_FRAMES = 5
ENOUGH_PIXELS = 1000
ENOUGH_SHARE = 0.35
"""Share of a frame's downward pixels that must agree for it to count."""
_BIN = 0.1
"""Width of a histogram's bin, octaves."""
_RANGE = (math.log2(5), math.log2(2000))


class FarPlaneCheck:
    """Gather evidence frame by frame until it is enough for a verdict.

    Args:
        far: the far plane that was set, metres.
        ground: height of the ground in the world frame, metres.
    """

    def __init__(self, far: float, ground: float = 0.0) -> None:
        self.far = far
        self.ground = ground
        self._implied: deque[float] = deque(maxlen=4 * ENOUGH_FRAMES)

    def add(self, values: NDArray[np.generic], camera: Camera) -> None:
        """Take a depth picture, ``(H, W)`` raw 0 to 255, as evidence, if enough of it shows the ground."""
        far = implied_far_plane(values, camera, self.ground)
        if far is not None:
            self._implied.append(far)

    @property
    def implied(self) -> float | None:
        """The far plane in metres that fits the ground; None before enough frames agreed."""
        return float(np.median(self._implied)) if len(self._implied) >= ENOUGH_FRAMES else None

    def verdict(self) -> str | None:
        """Say what is wrong and what to do; None while all is well, or not yet known."""
        implied = self.implied
        if implied is None or abs(math.log2(implied / self.far)) <= TOLERANCE:
            return None
        return (
            f"the depth does not fit the ground: with a far plane of {self.far:g} m the ground measures "
            f"{self.far / implied:.2f} times its true distance, and so does the target. Set the far plane to "
            f"{_nearest(implied):g} m (--far {_nearest(implied):g}), or turn this check off if the ground is not at "
            f"z = {self.ground:g} (--no-far-check)"
        )


def implied_far_plane(values: NDArray[np.generic], camera: Camera, ground: float = 0.0) -> float | None:
    """Return the far plane in metres at which most downward pixels lie on the ground; None if too few agree.

    Args:
        values: ``(H, W)`` raw depth, 0 to 255, of the frame's proportions.
        camera: the frame's camera; the picture is taken to be centred on the axis, as QuadSim's is.
        ground: height of the ground, metres.
    """
    expected = _distance_to_ground(values.shape, camera, ground)
    raw = values.astype(np.float64)
    usable = (expected > 0) & (raw >= 4) & (raw < SKY)
    if usable.sum() < ENOUGH_PIXELS:
        return None
    return _mode(np.log2(expected[usable] * SKY / raw[usable]))


def _distance_to_ground(shape: tuple[int, ...], camera: Camera, ground: float) -> NDArray[np.float64]:
    """Planar depth in metres at which each pixel's ray meets the ground, ``(H, W)``; 0 where it does not go down."""
    if camera.pose is None:
        return np.zeros(shape[:2])
    height, width = shape[:2]
    lens = camera.intrinsics.scaled(width / (2 * camera.intrinsics.cx), height / (2 * camera.intrinsics.cy))
    x = (np.arange(width) + 0.5 - lens.cx) / lens.fx
    y = (np.arange(height)[:, None] + 0.5 - lens.cy) / lens.fy
    up = camera.pose.rotation[2]
    rise = up[0] * x + up[1] * y + up[2]
    above = camera.pose.position[2] - ground
    return np.asarray(np.where(rise < -0.05, above / np.where(rise < -0.05, -rise, 1.0), 0.0))


def _mode(octaves: NDArray[np.float64]) -> float | None:
    counts, edges = np.histogram(octaves, bins=round((_RANGE[1] - _RANGE[0]) / _BIN), range=_RANGE)
    peak = int(np.argmax(np.convolve(counts, np.ones(3), mode="same")))
    near = octaves[np.abs(octaves - (edges[peak] + _BIN / 2)) <= 1.5 * _BIN]
    if near.size < ENOUGH_SHARE * octaves.size:
        return None
    return float(2 ** np.median(near))


def _nearest(implied: float) -> float:
    known = min(KNOWN, key=lambda far: abs(math.log2(far / implied)))
    return known if abs(math.log2(known / implied)) <= TOLERANCE else round(implied)
