"""What stands along the street: houses, trees, lamp posts and planted kerb rings."""

from __future__ import annotations

import math

import numpy as np

from quadfollow_sim.painter.canvas import Colour, Floats, Solid, shade

BRICK, STUCCO, PLINTH, SLATE = (104, 74, 66), (128, 142, 148), (74, 74, 82), (96, 98, 104)
FRAME, GLASS, TRUNK, IRON = (196, 190, 178), (34, 36, 42), (72, 64, 56), (92, 94, 92)
LEAVES: tuple[Colour, ...] = ((51, 80, 13), (66, 104, 18), (150, 110, 22), (120, 28, 84), (60, 92, 16))
RED, WHITE, SOIL = (150, 44, 48), (176, 172, 166), (58, 66, 30)


def house(x: float, y: float, width: float, depth: float, height: float, wall: Colour) -> list[Solid]:
    """A house whose near left corner is ``(x, y)``, ``width`` along x and ``depth`` along y, all metres."""
    corners = [(x, y), (x + width, y), (x + width, y + depth), (x, y + depth)]
    sides = list(zip(corners, corners[1:] + corners[:1], strict=True))
    return [_wall(np.array(start), np.array(end), height, wall) for start, end in sides] + [
        _roof(np.array(corners), height)
    ]


def _wall(start: Floats, end: Floats, height: float, colour: Colour) -> Solid:
    """One wall with a plinth, courses of alternating tone and rows of framed windows."""
    length = float(np.linalg.norm(end - start))
    along = (end - start) / length
    faces: list[Floats] = []
    colours: list[Floats] = []

    def panel(left: float, right: float, low: float, high: float, tint: Floats) -> None:
        faces.append(_upright(start + along * left, start + along * right, low, high))
        colours.append(tint)

    panel(0, length, 0, 0.9, np.array(PLINTH, dtype=np.float64))
    courses = np.arange(0.9, height, 0.45)
    for number, low in enumerate(courses):
        panel(0, length, float(low), min(float(low) + 0.45, height), np.array(colour) * (1.0 if number % 2 else 0.93))
    for low in np.arange(1.5, height - 1.6, 2.8):
        for left in np.arange(0.9, length - 1.4, 2.4):
            panel(left - 0.12, left + 1.12, low - 0.12, low + 1.62, np.array(FRAME, dtype=np.float64))
            panel(left, left + 1.0, low, low + 1.5, np.array(GLASS, dtype=np.float64))
    normal = np.array([along[1], -along[0], 0.0])
    stack = np.stack(faces)
    return Solid(stack, shade(stack, np.stack(colours)), normal=normal)


def _upright(start: Floats, end: Floats, low: float, high: float) -> Floats:
    return np.array([(*start, low), (*end, low), (*end, high), (*start, high)])


def _roof(corners: Floats, height: float) -> Solid:
    """Four slopes that meet above the middle."""
    middle = (*corners.mean(axis=0), height + 2.0)
    pairs = zip(corners, np.roll(corners, -1, axis=0), strict=True)
    faces = np.array([[(*a, height), (*b, height), middle, middle] for a, b in pairs])
    return Solid(faces, shade(faces, np.tile(np.array(SLATE, dtype=np.float64), (4, 1))))


def post(x: float, y: float, radius: float, height: float, colour: Colour = IRON, lean: float = 0.0) -> Solid:
    """A lamp post or trunk, six-sided, ``lean`` metres off upright at its top."""
    angles = np.arange(7) * (math.pi / 3)
    ring = np.stack([np.cos(angles), np.sin(angles), np.zeros(7)], axis=1) * radius
    low, high = ring + (x, y, 0.0), ring * 0.7 + (x + lean, y, height)
    faces = np.stack([low[:-1], low[1:], high[1:], high[:-1]], axis=1)
    return Solid(faces, shade(faces, np.tile(np.array(colour, dtype=np.float64), (6, 1))))


def tree(x: float, y: float, height: float, leaves: Colour, rng: np.random.Generator) -> list[Solid]:
    """A trunk and a crown of loose leaf quads."""
    crown = _leaves(np.array([x, y, height * 0.72]), np.array([1.3, 1.3, height * 0.27]), 150, 0.42, leaves, rng)
    return [post(x, y, 0.16, height * 0.6, TRUNK, 0.12), crown]


def _leaves(centre: Floats, spread: Floats, count: int, size: float, colour: Colour, rng: np.random.Generator) -> Solid:
    directions = rng.normal(size=(count, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    middles = centre + directions * spread * rng.uniform(0.45, 1.0, (count, 1))
    first = rng.normal(size=(count, 3)) * size / 2
    second = np.cross(first, rng.normal(size=(count, 3)))
    second *= size / 2 / np.maximum(np.linalg.norm(second, axis=1, keepdims=True), 1e-9)
    faces = middles[:, None] + np.stack([first, second, -first, -second], axis=1)
    tones = np.array(colour) * rng.uniform(0.45, 1.35, (count, 1))
    return Solid(faces, np.clip(tones, 0, 255), two_sided=True)


def kerb_ring(x: float, y: float, radius: float, rng: np.random.Generator) -> list[Solid]:
    """A bush in a low ring of red and white kerb stones: what is most easily taken for the target."""
    count = 20
    angles = np.arange(count + 1) * (2 * math.pi / count)
    directions = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    inner, outer = (np.array([x, y]) + directions * reach for reach in (radius * 0.82, radius))
    sides = [_upright(outer[i], outer[i + 1], 0.0, 0.35) for i in range(count)]
    tops = [_flat(outer[i], outer[i + 1], inner[i + 1], inner[i]) for i in range(count)]
    middle = np.array([x, y])
    soil = [_flat(inner[i], inner[i + 1], middle, middle) for i in range(count)]
    stones = [RED if i % 2 else WHITE for i in range(count)]
    colours = np.array([*stones, *stones, *[SOIL] * count], dtype=np.float64)
    faces = np.array(sides + tops + soil)
    bush = _leaves(np.array([x, y, 0.7]), np.array([1, 1, 0.7]) * radius * 0.7, 120, 0.4, LEAVES[0], rng)
    return [Solid(faces, shade(faces, colours)), bush]


def _flat(*corners: Floats) -> Floats:
    return np.array([(*corner, 0.35) for corner in corners])
