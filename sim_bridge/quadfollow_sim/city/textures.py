"""Surfaces painted by code: ``(H, W, 3)`` uint8 RGB tiles that repeat without a seam."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

from quadfollow_sim.city.mesh import Floats

Picture = NDArray[np.uint8]


def noise(rng: Generator, size: int, cells: int, octaves: int = 3) -> Floats:
    """Return ``(size, size)`` smooth noise around 0, about ±1, that repeats at its edges."""
    total = np.zeros((size, size))
    for octave in range(octaves):
        count = min(size, cells * 2**octave)
        grid = np.pad(rng.standard_normal((count, count)), 2, mode="wrap")
        scale = size / count
        large = cv2.resize(grid, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        margin = round(2 * scale)
        total += large[margin : margin + size, margin : margin + size] * 0.6**octave
    return total / 2


def paint(colour: ArrayLike, shade: Floats) -> Picture:
    """Colour a ``(H, W)`` brightness (1 = as given) or ``(H, W, 3)`` shading."""
    shading = shade if shade.ndim == 3 else shade[:, :, None]
    return np.asarray(np.clip(np.asarray(colour, dtype=np.float64) * shading, 0, 255), dtype=np.uint8)


def grass(rng: Generator) -> Picture:
    """Mown grass, saturated green."""
    shade = 1 + 0.13 * noise(rng, 256, 8, 3) + 0.16 * noise(rng, 256, 90, 2)
    return paint((72, 128, 6), shade)


def asphalt(rng: Generator) -> Picture:
    """Dark grey road with tyre streaks."""
    streaks = cv2.blur(noise(rng, 256, 64, 1), (61, 1))
    return paint((90, 88, 86), 1 + 0.05 * noise(rng, 256, 4, 3) + 0.05 * noise(rng, 256, 128, 1) + 0.1 * streaks)


def slabs(rng: Generator) -> Picture:
    """A square of stone slabs of many sizes and greys, the joints dark."""
    picture = np.zeros((512, 512, 3))
    _split_slabs(picture, rng, 0, 0, 512, 512)
    mottled = 1 + 0.07 * noise(rng, 512, 12, 3) + 0.04 * noise(rng, 512, 180, 1)
    return paint((1, 1, 1), picture * mottled[:, :, None])


def _split_slabs(picture: Floats, rng: Generator, x: int, y: int, width: int, height: int) -> None:
    if max(width, height) > 100 or (width * height > 4200 and rng.random() < 0.75):
        cut = float(rng.choice([0.5, 0.5, 0.38, 0.62]))
        if width > height * rng.uniform(0.7, 1.4):
            first = int(width * cut)
            _split_slabs(picture, rng, x, y, first, height)
            _split_slabs(picture, rng, x + first, y, width - first, height)
        else:
            first = int(height * cut)
            _split_slabs(picture, rng, x, y, width, first)
            _split_slabs(picture, rng, x, y + first, width, height - first)
        return
    grey = float(rng.choice([rng.uniform(150, 185), rng.uniform(185, 215), rng.uniform(215, 238)]))
    picture[y : y + height, x : x + width] = np.array([1.0, 0.995, 0.98]) * grey * 0.66
    picture[y + 1 : y + height - 2, x + 1 : x + width - 2] = np.array([1.0, 0.995, 0.985]) * grey


def pavement(rng: Generator) -> Picture:
    """Rows of flagstones, 60 by 40 cm."""
    picture = np.full((256, 256), 118.0)
    for row in range(6):
        top, offset = row * 256 // 6, int(rng.integers(64))
        for column in range(4):
            left = (column * 64 + offset) % 256
            columns = np.arange(left + 1, left + 62) % 256
            picture[top + 2 : top + 41, columns] = rng.uniform(152, 180)
    return paint((1, 1, 0.98), picture * (1 + 0.05 * noise(rng, 256, 16, 3)))


def kerbstone(rng: Generator, colour: tuple[int, int, int]) -> Picture:
    """Kerb stones of one colour, a joint every metre."""
    shade = 1 + 0.08 * noise(rng, 64, 8, 2)
    shade[:, :2] *= 0.6
    return paint(colour, shade)


def paint_marks(rng: Generator) -> Picture:
    """Worn road paint: white in the lower half of the texture, yellow in the upper."""
    worn = np.clip(1.02 + 0.14 * noise(rng, 128, 16, 3), 0.55, 1.1)
    colours = np.empty((128, 128, 3))
    colours[64:], colours[:64] = (235, 232, 214), (205, 158, 52)
    return paint((1, 1, 1), colours * worn[:, :, None])


def bark(rng: Generator) -> Picture:
    """Pale or dark trunks, streaked upwards; four columns of different greys."""
    streaks = cv2.blur(noise(rng, 128, 48, 2), (1, 25))
    base = np.repeat(np.array([[52, 44, 38], [66, 58, 52], [150, 146, 150], [92, 84, 80]]), 32, axis=0)
    return paint(base[None], 1 + 0.5 * streaks)


LEAVES = (
    ((58, 92, 16), (34, 62, 8)),
    ((70, 110, 20), (40, 66, 12)),
    ((128, 14, 16), (72, 4, 8)),
    ((130, 20, 100), (92, 8, 62)),
    ((196, 150, 20), (150, 104, 10)),
    ((38, 58, 108), (18, 32, 70)),
    ((176, 96, 22), (120, 54, 10)),
)
"""Bright and dark tone of each kind of tree; the last two thirds are the network's hard negatives."""


def leaves(rng: Generator, kind: int) -> Picture:
    """A palette of leaf colours in cells of 8 by 8 pixels."""
    bright, dark = (np.array(tone, dtype=np.float64) for tone in LEAVES[kind])
    mix = rng.random((16, 16, 1))
    cells: Floats = dark + (bright - dark) * mix + rng.normal(0, 7, (16, 16, 3))
    return paint((1, 1, 1), cells.repeat(8, axis=0).repeat(8, axis=1))


def flowers(rng: Generator) -> Picture:
    """A palette of dark greens with some red and yellow, for bushes in beds."""
    cells = np.array([40, 84, 14]) + rng.normal(0, 14, (16, 16, 3))
    blossoms = rng.random((16, 16)) < 0.2
    cells[blossoms] = np.array([[176, 34, 24], [190, 150, 30]])[rng.integers(0, 2, int(blossoms.sum()))]
    return paint((1, 1, 1), cells.repeat(8, axis=0).repeat(8, axis=1))


def stripes(rng: Generator) -> Picture:
    """A red and a white stone side by side, for painted kerb rings."""
    picture = np.empty((64, 128, 3))
    picture[:, :64], picture[:, 64:] = (150, 26, 22), (214, 210, 204)
    return paint((1, 1, 1), picture * (1 + 0.08 * noise(rng, 128, 16, 2)[:64, :, None]))


def stop_sign(rng: Generator) -> Picture:
    """A red stop sign with a white rim; the lowest rows are its pole's grey."""
    picture = np.zeros((64, 64, 3), dtype=np.uint8)
    picture[:] = (168, 24, 28)
    cv2.circle(picture, (32, 29), 29, (220, 216, 210), 2)
    cv2.putText(picture, "STOP", (7, 35), cv2.FONT_HERSHEY_SIMPLEX, 0.62, (226, 222, 216), 2)
    picture[56:] = (110, 112, 114)
    return paint((1, 1, 1), picture * (1 + 0.06 * noise(rng, 64, 8, 2)[:, :, None]))


def sky(rng: Generator, tint: Floats) -> Picture:
    """Blue-grey sky with white clouds, six square faces in a column: right, left, up, down, front, back."""
    size = 192
    axis = (np.arange(size) + 0.5) / size * 2 - 1
    a, b = np.meshgrid(axis, axis)
    one = np.ones_like(a)
    views = [(one, -b, -a), (-one, -b, a), (a, one, b), (a, -one, -b), (a, -b, one), (-a, -b, -one)]
    fields = [noise(rng, 256, 3, 6), noise(rng, 256, 4, 6)]
    faces = [_sky_face(np.stack(view, axis=-1), fields, tint) for view in views]
    return np.vstack(faces)


def _sky_face(view: Floats, fields: list[Floats], tint: Floats) -> Picture:
    direction = view / np.linalg.norm(view, axis=-1, keepdims=True)
    up = np.clip(direction[..., 1], 0, 1)
    lift = 40 / (0.35 + up)
    column, row = (np.mod(direction[..., k] * lift * 1.5, 256).astype(int) for k in (0, 2))
    cloud = np.clip(0.5 + 0.7 * fields[0][row, column] + 0.25 * fields[1][row, column], 0, 1)[..., None]
    blue = np.array([86, 118, 172]) + (np.array([150, 172, 205]) - np.array([86, 118, 172])) * (1 - up[..., None]) ** 2
    colour = blue + (np.array([226, 228, 232]) - blue) * cloud**1.5
    return paint((1, 1, 1), _horizon(colour, direction, fields[0]) * tint)


def _horizon(colour: Floats, direction: Floats, field: Floats) -> Floats:
    """Paint far land below the horizon, and a skyline of roofs and trees on it."""
    angle = np.arctan2(direction[..., 2], direction[..., 0]) / (2 * np.pi) + 0.5
    block = np.mod(angle * 90, 90).astype(int)
    height = np.clip(0.03 + 0.05 * field[block, 7], 0.0, 0.09)
    built = np.array([[92, 74, 68], [150, 150, 148], [60, 82, 34], [70, 70, 76]])[block % 4]
    y = direction[..., 1]
    skyline = np.where((y < height)[..., None], built.astype(np.float64), colour)
    land = np.array([74, 122, 14]) * (1 + 0.1 * field[block, 3])[..., None]
    return np.where((y < 0)[..., None], land, skyline)
