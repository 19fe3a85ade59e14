"""Rendered frames for a parity check without recordings: smooth random ground, and coloured figures on it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

MAX_FIGURES = 5


def render_scenes(count: int, size: tuple[int, int], seed: int = 0) -> NDArray[np.uint8]:
    """Render ``count`` frames of ``(width, height)``: ``[count, H, W, 3]`` RGB, the same for the same seed."""
    random = np.random.default_rng(seed)
    return np.stack([_scene(random, size) for _ in range(count)])


def _scene(random: np.random.Generator, size: tuple[int, int]) -> NDArray[np.uint8]:
    frame = _ground(random, size)
    for _ in range(random.integers(1, MAX_FIGURES + 1)):
        _draw_figure(frame, random)
    return frame


def _ground(random: np.random.Generator, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Noise of several widths, from patches to grain, in one random tint."""
    width, height = size
    ground = np.zeros((height, width, 3), np.float32)
    for cells, strength in ((3, 60.0), (9, 30.0), (40, 12.0)):
        coarse = random.normal(0, strength, (cells, cells, 3)).astype(np.float32)
        ground += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    ground += random.uniform(60, 190, 3).astype(np.float32) + random.normal(0, 4, ground.shape).astype(np.float32)
    return np.clip(ground, 0, 255).astype(np.uint8)


def _draw_figure(frame: NDArray[np.uint8], random: np.random.Generator) -> None:
    """A body, two legs and a head, from a few pixels to half the frame high."""
    height, width = frame.shape[:2]
    tall = float(np.exp(random.uniform(np.log(6), np.log(height / 2))))
    wide = 0.3 * tall
    u, v = random.uniform(0, width), random.uniform(tall / 2, height)
    shirt, trousers = (tuple(int(value) for value in random.integers(0, 256, 3)) for _ in range(2))
    for side in (-0.25, 0.25):
        foot, hip = (round(u + side * wide), round(v)), (round(u + side * wide), round(v - 0.45 * tall))
        cv2.line(frame, foot, hip, trousers, max(1, round(0.3 * wide)))
    corner, opposite = (round(u - wide / 2), round(v - 0.85 * tall)), (round(u + wide / 2), round(v - 0.4 * tall))
    cv2.rectangle(frame, corner, opposite, shirt, -1)
    cv2.circle(frame, (round(u), round(v - 0.92 * tall)), max(1, round(0.09 * tall)), (210, 170, 140), -1)
