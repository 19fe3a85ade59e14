"""The street's ground and sky: one painted map seen in perspective.

The map covers x from MAP_X and y from MAP_Y; beyond it its edge goes on, which suits a street that runs along x.
Far ground is read from smaller copies of the map, so that slabs far away blur instead of flickering.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from quadfollow_sim.painter.canvas import Floats, View

SCALE = 40
"""Pixels of the map per metre."""
MAP_X, MAP_Y = (-16.0, 48.0), (-16.0, 16.0)
KERBS = (-10.0, -3.0)
"""The road lies between these y, metres."""
PAVED = 5.0
"""From the road to this y lie slabs, then grass."""
GRASS, ASPHALT, PAVING, MORTAR = (67, 120, 3), (87, 86, 84), (186, 184, 180), (146, 144, 141)
YELLOW, WHITE, KERB = (176, 150, 60), (205, 203, 190), (70, 70, 72)
SKY_LOW, SKY_HIGH, CLOUD = (176, 190, 212), (92, 118, 168), (225, 228, 234)
LEVELS = 4
"""The map and so many halvings of it, less one."""


class Ground:
    """The ground and sky of one street, painted once."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self._maps = [_paint_map(rng)]
        for _ in range(LEVELS - 1):
            self._maps.append(np.asarray(cv2.pyrDown(self._maps[-1]), dtype=np.uint8))
        self._clouds = _noise(rng, (128, 512), 40)

    def backdrop(self, view: View) -> NDArray[np.uint8]:
        """Ground and sky of a level camera, ``(H, W, 3)`` uint8 RGB."""
        width, height = view.size
        picture = np.empty((height, width, 3), dtype=np.uint8)
        levels = self._level_of_rows(view)
        for level in range(-1, LEVELS):
            rows = np.flatnonzero(levels == level)
            if rows.size:
                band = slice(int(rows[0]), int(rows[-1]) + 1)
                picture[band] = self._sky(view, rows) if level < 0 else self._warp(view, level, band)
        return picture

    def _level_of_rows(self, view: View) -> NDArray[np.intp]:
        """Which copy of the map suits each row: −1 above the horizon, 0 for the finest."""
        a, b, c = view.inverse_depth(np.array([0.0, 0.0, 1.0]), np.zeros(3))
        rows = np.arange(view.size[1]) + 0.5
        inverse = a * view.size[0] / 2 + b * rows + c
        near = np.maximum(inverse, 1e-6)
        # Map pixels under one picture pixel: across, and along the view (which the slant stretches).
        across = SCALE / (near * view.focal[0])
        along = SCALE * np.abs(b) / near**2 * abs(view.rotation[2, 2])
        level = np.round(np.log2(np.maximum(np.sqrt(across * np.maximum(along, across)), 1)))
        return np.where(inverse > 1e-4, np.clip(level, 0, LEVELS - 1), -1).astype(np.intp)

    def _warp(self, view: View, level: int, rows: slice) -> NDArray[np.uint8]:
        shrink = SCALE / 2**level
        # Ground (x, y, 1) to camera, and map pixel (column, row) to ground.
        camera_from_ground = np.column_stack([view.rotation[0], view.rotation[1], -view.rotation.T @ view.position])
        lens = view.camera.intrinsics
        pixels = np.array([[lens.fx, 0, lens.cx - 0.5], [0, lens.fy, lens.cy - 0.5 - rows.start], [0, 0, 1]])
        ground_from_map = np.array([[1 / shrink, 0, MAP_X[0]], [0, -1 / shrink, MAP_Y[1]], [0, 0, 1]])
        return np.asarray(
            cv2.warpPerspective(
                self._maps[level],
                pixels @ camera_from_ground @ ground_from_map,
                (view.size[0], rows.stop - rows.start),
                flags=cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REPLICATE,
            ),
            dtype=np.uint8,
        )

    def _sky(self, view: View, rows: NDArray[np.intp]) -> NDArray[np.uint8]:
        u, v = np.arange(view.size[0]) + 0.5, rows + 0.5
        forward = view.rotation[:, 2]
        yaw = np.arctan2(forward[1], forward[0]) - np.arctan((u - view.centre[0]) / view.focal[0])
        climb = np.arctan((view.centre[1] - v) / view.focal[1]) - np.arcsin(np.clip(-forward[2], -1, 1))
        up = np.clip(climb / 0.5, 0, 1)[:, None, None]
        clouds = self._clouds[(climb * 180).astype(int)[:, None] % 128, (yaw * 81.5).astype(int)[None, :] % 512]
        amount = np.clip(clouds * 1.6 - 0.6, 0, 0.8)[:, :, None]
        clear = np.array(SKY_LOW) * (1 - up) + np.array(SKY_HIGH) * up
        return np.asarray(clear * (1 - amount) + np.array(CLOUD) * amount, dtype=np.uint8)


def _paint_map(rng: np.random.Generator) -> NDArray[np.uint8]:
    width, height = (round((high - low) * SCALE) for low, high in (MAP_X, MAP_Y))
    ground = np.empty((height, width, 3), dtype=np.float32)
    ground[:] = GRASS
    _slabs(ground, _row(PAVED), _row(KERBS[1]), rng)
    _slabs(ground, _row(KERBS[0]), _row(KERBS[0] - 2.0), rng)
    ground[_row(KERBS[1]) : _row(KERBS[0])] = ASPHALT
    grain = 0.75 + 0.5 * _noise(rng, (height, width), 3)
    grain += 0.35 * (_noise(rng, (height, width), 40) - 0.5)
    soft = 1 + 0.45 * (grain - 1)
    grassy = np.abs(ground[:, :, 2] - GRASS[2]) < 1
    ground *= np.where(grassy, grain, soft)[:, :, None]
    _markings(ground)
    return np.clip(ground, 0, 255).astype(np.uint8)


def _row(y: float) -> int:
    """The map's row of a world y."""
    return round((MAP_Y[1] - y) * SCALE)


def _slabs(ground: NDArray[np.float32], top: int, bottom: int, rng: np.random.Generator) -> None:
    """Lay stone slabs of uneven size and tone over some rows of the map, in place."""
    ground[top:bottom] = MORTAR
    row = top
    while row < bottom:
        depth = int(rng.choice([14, 18, 24]))
        column = 0
        while column < ground.shape[1]:
            length = int(rng.integers(16, 44))
            tone = rng.choice([0.82, 0.92, 1.0, 1.06, 1.2], p=[0.2, 0.25, 0.25, 0.2, 0.1]) + rng.normal(0, 0.02)
            warm = np.array([1.0, 0.99, 0.965]) if rng.random() < 0.6 else 1.0
            ground[row : min(row + depth - 1, bottom), column : column + length - 1] = np.array(PAVING) * tone * warm
            column += length
        row += depth


def _markings(ground: NDArray[np.float32]) -> None:
    """Kerb edges, white side lines and a dashed yellow middle, in place."""
    for kerb, inward in ((KERBS[0], 1), (KERBS[1], -1)):
        edge = _row(kerb)
        ground[edge - 3 : edge + 3] = KERB
        line = _row(kerb + 0.45 * inward)
        ground[line - 2 : line + 2] = WHITE
    middle = _row(sum(KERBS) / 2)
    for column in range(0, ground.shape[1], 6 * SCALE):
        ground[middle - 3 : middle + 3, column : column + 2 * SCALE] = YELLOW


def _noise(rng: np.random.Generator, shape: tuple[int, int], grain: int) -> Floats:
    """Smooth noise in 0 to 1 that varies over about ``grain`` pixels."""
    coarse = rng.random((shape[0] // grain + 2, shape[1] // grain + 2)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC), dtype=np.float64)
