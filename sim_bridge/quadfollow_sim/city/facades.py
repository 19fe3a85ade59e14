"""Houses: a texture atlas per style, four by four cells, and meshes whose every bay shows one cell of it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator

from quadfollow_sim.city.mesh import Floats, Mesh, merge, quads
from quadfollow_sim.city.plan import Building
from quadfollow_sim.city.textures import Picture, noise, paint

CELL, CELLS = 96, 4
WINDOW, ARCHED, BLANK, DOOR, PLINTH, CORNICE, ROOF, FLAT = range(8)
_MARGIN = 1.5 / (CELL * CELLS)
_BAY = 3.0
"""Width of a bay, metres."""

Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Style:
    """Colours of a façade, and whether it has courses of brick and arched windows."""

    wall: Colour
    trim: Colour
    plinth: Colour
    roof: Colour
    courses: int
    arched: bool
    glass: Colour = (36, 38, 42)


STYLES = (
    Style((112, 72, 60), (150, 142, 138), (52, 56, 70), (96, 98, 104), 8, False),
    Style((176, 176, 172), (205, 204, 198), (140, 140, 136), (110, 112, 118), 0, True),
    Style((178, 128, 134), (196, 176, 176), (120, 96, 98), (104, 100, 100), 16, False),
    Style((150, 166, 168), (170, 180, 180), (164, 148, 130), (120, 124, 130), 0, False),
    Style((47, 41, 40), (70, 64, 62), (40, 38, 40), (74, 76, 84), 5, False),
    Style((120, 126, 134), (168, 172, 176), (90, 92, 96), (96, 98, 104), 0, False, (28, 44, 70)),
)


def facade(rng: Generator, index: int) -> Picture:
    """Paint the atlas of a style."""
    style = STYLES[index]
    atlas = np.zeros((CELL * CELLS, CELL * CELLS, 3), dtype=np.uint8)
    for kind in range(8):
        row, column = divmod(kind, CELLS)
        cell = _paint_cell(rng, style, kind)
        atlas[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL] = cell
    return atlas


def _paint_cell(rng: Generator, style: Style, kind: int) -> Picture:
    plain = {PLINTH: style.plinth, CORNICE: style.trim, ROOF: style.roof, FLAT: style.trim}
    if kind in plain:
        cell = _stone(rng, plain[kind], 12 if kind == ROOF else 2)
    else:
        cell = _stone(rng, style.wall, style.courses)
    if kind in (WINDOW, ARCHED):
        _add_window(cell, style, arched=kind == ARCHED)
    if kind == DOOR:
        cv2.rectangle(cell, (24, 22), (72, 95), style.trim, -1)
        cv2.rectangle(cell, (30, 28), (66, 95), (62, 44, 32), -1)
        cv2.line(cell, (48, 28), (48, 95), (34, 24, 18), 2)
    return cell


def _stone(rng: Generator, colour: Colour, courses: int) -> Picture:
    shade = 1 + 0.05 * noise(rng, CELL, 4, 3) + 0.04 * noise(rng, CELL, 48, 1)
    for course in range(courses):
        row = course * CELL // courses
        shade[row : row + 2] *= 0.8
        shade[row + 2 : row + CELL // courses] *= rng.uniform(0.94, 1.06)
    return paint(colour, shade)


def _add_window(cell: Picture, style: Style, *, arched: bool) -> None:
    left, top, right, bottom = 26, 20, 70, 76
    if arched:
        cv2.ellipse(cell, (48, 28), (27, 22), 0, 180, 360, style.trim, -1)
    cv2.rectangle(cell, (left - 5, top - 3), (right + 5, bottom + 6), style.trim, -1)
    cv2.rectangle(cell, (left, top), (right, bottom), style.glass, -1)
    for row in range(top, bottom):
        cell[row, left:right] = np.clip(np.array(style.glass) * (1.5 - (row - top) / 70), 0, 255)
    cv2.line(cell, (48, top), (48, bottom), style.trim, 2)
    cv2.line(cell, (left, top + 18), (right, top + 18), style.trim, 2)
    cv2.rectangle(cell, (left - 7, bottom + 4), (right + 7, bottom + 9), tuple(int(c * 0.8) for c in style.trim), -1)


def house(building: Building, rng: Generator) -> Mesh:
    """Return a building's mesh in the world frame: walls bay by bay, plinth, cornice and roof."""
    (a, b), height = building.outline.half, building.height
    parts = [_walls(building, rng)]
    parts.append(_band((a, b), 0.12, (-0.2, 0.9), PLINTH))
    parts.append(_band((a, b), 0.35, (height - 0.5, height), CORNICE))
    for storey in range(1, building.storeys):
        parts.append(_band((a, b), 0.08, (storey * building.storey + 0.75, storey * building.storey + 1.0), CORNICE))
    parts.append(_roof((a + 0.35, b + 0.35), height, float(rng.choice([0.0, 0.35, 0.5]))))
    x, y = building.outline.center
    return merge(parts).placed((x, y, 0.0), building.outline.yaw)


def _cell_uv(kinds: Floats) -> Floats:
    """Texture coordinates ``(N, 4, 2)`` of whole cells, from the lower left corner counter-clockwise."""
    row, column = np.divmod(kinds.astype(int), CELLS)
    low = np.stack([column / CELLS, 1 - (row + 1) / CELLS], axis=-1)
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
    return np.asarray(low[:, None] + _MARGIN + square * (1 / CELLS - 2 * _MARGIN))


def _sides(half: tuple[float, float]) -> list[tuple[Floats, Floats]]:
    """Start and end of each wall, counter-clockwise seen from above."""
    a, b = half
    corners = np.array([[-a, -b], [a, -b], [a, b], [-a, b]])
    return list(zip(corners, np.roll(corners, -1, axis=0), strict=True))


def _walls(building: Building, rng: Generator) -> Mesh:
    return merge([_wall(building, start, end, rng) for start, end in _sides(building.outline.half)])


def _wall(building: Building, start: Floats, end: Floats, rng: Generator) -> Mesh:
    bays = max(1, round(float(np.linalg.norm(end - start)) / _BAY))
    column, row = (axis.ravel() for axis in np.meshgrid(np.arange(bays), np.arange(building.storeys)))
    kinds = np.full(len(column), ARCHED if STYLES[building.style].arched else WINDOW)
    kinds[rng.random(len(kinds)) < 0.12] = BLANK
    if rng.random() < 0.3:
        kinds[:] = BLANK
    if rng.random() < 0.7:
        kinds[int(rng.integers(bays))] = DOOR
    left, right = (start + (end - start) * (at / bays)[:, None] for at in (column, column + 1))
    low, high = 0.5 + row * building.storey, 0.5 + (row + 1) * building.storey
    corners = [np.column_stack(pair) for pair in ((left, low), (right, low), (right, high), (left, high))]
    return quads(np.stack(corners, axis=1), _cell_uv(kinds))


def _band(half: tuple[float, float], out: float, levels: tuple[float, float], kind: int) -> Mesh:
    """A strip around the house that stands out by ``out`` metres, with its top and its underside."""
    outer = (half[0] + out, half[1] + out)
    low, high = levels
    corners = [np.array([[*start, low], [*end, low], [*end, high], [*start, high]]) for start, end in _sides(outer)]
    points = np.array([start for start, _ in _sides(outer)])
    for level, order in ((high, 1), (low, -1)):
        corners.append(np.column_stack([points, np.full(4, level)])[::order])
    uv = _cell_uv(np.full(len(corners), float(kind)))
    return quads(np.stack(corners), uv)


def _roof(half: tuple[float, float], base: float, pitch: float) -> Mesh:
    """A hip roof, or a flat one where ``pitch`` is zero."""
    a, b = half
    if pitch == 0:
        top = np.array([[[-a, -b, base + 0.01], [a, -b, base + 0.01], [a, b, base + 0.01], [-a, b, base + 0.01]]])
        return quads(top, _cell_uv(np.array([ROOF])))
    ridge, peak = max(a - b, 0.5), base + b * pitch * 1.6
    feet = [np.array([*start, base]) for start, _ in _sides(half)]
    ends = [np.array([-ridge, 0, peak]), np.array([ridge, 0, peak])]
    faces = [
        [feet[0], feet[1], ends[1], ends[0]], [feet[1], feet[2], ends[1], ends[1] + 1e-3],
        [feet[2], feet[3], ends[0], ends[1]], [feet[3], feet[0], ends[0], ends[0] + 1e-3],
    ]  # fmt: skip
    return quads(np.array(faces), _cell_uv(np.full(4, float(ROOF))))
