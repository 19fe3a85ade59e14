"""The ground as meshes: the plan's fields cut an adaptive grid into road, kerb, pavement, square and grass."""

from __future__ import annotations

import math
from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

from quadfollow_sim.city.mesh import Floats, Mesh
from quadfollow_sim.city.plan import PAVEMENT, REACH, ROAD_Z, Plan

TILE_METRES = {"asphalt": 6.0, "kerb": 1.0, "pavement": 2.4, "slabs": 4.5, "border": 1.0, "grass": 5.0}
"""Surfaces in the order in which they claim the ground, and the side of their texture's tile."""
CHUNK = 45.0
"""Side of the squares the ground is cut into, so that what is out of view need not be drawn."""
COARSE, FINE = 18.0, 1.125
_FEWEST = 4
"""Vertices a mesh needs; a lone triangle is drawn twice."""
FLAT_ENOUGH = 0.03
"""Largest distance in metres by which an outline may be straightened."""

Polygon = list[list[float]]
"""Per corner x, y and every field. Lists: the many small polygons are clipped faster than as arrays."""


def build_ground(plan: Plan) -> dict[tuple[str, int, int], Mesh]:
    """Return meshes keyed by surface and chunk; kerb faces between road and pavement are with ``border``."""
    polygons: dict[str, list[Polygon]] = defaultdict(list)
    walls: list[Polygon] = []
    for triangle in _triangles(plan):
        _share_out(triangle, polygons, walls)
    chunks: dict[tuple[str, int, int], list[Polygon]] = defaultdict(list)
    for surface, pieces in polygons.items():
        for piece in pieces:
            chunks[surface, *_chunk(piece)].append(piece)
    meshes = {key: _flat_mesh(pieces, key[0]) for key, pieces in chunks.items()}
    return {**meshes, ("border", 99, 99): _wall_mesh(walls)}


def _chunk(piece: Polygon) -> tuple[int, int]:
    column, row = (math.floor(sum(corner[axis] for corner in piece) / len(piece) / CHUNK) for axis in (0, 1))
    return column, row


def _fields(plan: Plan, x: Floats, y: Floats) -> Floats:
    """Distance to each surface but the last, which takes what is left: ``(..., 5)``."""
    asphalt, paved = plan.asphalt(x, y), plan.paved(x, y)
    return np.stack([asphalt, asphalt - 0.3, asphalt - PAVEMENT, paved, paved - 0.25], axis=-1)


def _triangles(plan: Plan) -> list[Polygon]:
    """Cut the square into cells over which every field is near enough linear; return their triangles."""
    steps = np.arange(-REACH, REACH, COARSE)
    cells = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    size = COARSE
    done: list[Polygon] = []
    while len(cells):
        corners, split = _inspect(plan, cells, size)
        split &= size > FINE
        for order in ([0, 1, 2], [0, 2, 3]):
            done += corners[~split][:, order].tolist()
        size /= 2
        cells = (cells[split][:, None] + np.array([[0, 0], [1, 0], [0, 1], [1, 1]]) * size).reshape(-1, 2)
    return done


def _inspect(plan: Plan, cells: Floats, size: float) -> tuple[Floats, NDArray[np.bool_]]:
    """Return each cell's four corners with their fields, and whether it has to be cut further."""
    around = np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0.5, 0], [1, 0.5], [0.5, 1], [0, 0.5], [0.5, 0.5]])
    points = cells[:, None] + around * size
    fields = _fields(plan, points[..., 0], points[..., 1])
    between = np.stack([(fields[:, a] + fields[:, b]) / 2 for a, b in ((0, 1), (1, 2), (2, 3), (3, 0), (0, 2))], axis=1)
    bent = np.abs(fields[:, 4:] - between).max(axis=1) > FLAT_ENOUGH
    crossed = np.abs(fields).min(axis=1) < size * 0.75
    return np.concatenate([points, fields], axis=-1)[:, :4], (bent & crossed).any(axis=1)


def _share_out(triangle: Polygon, polygons: dict[str, list[Polygon]], walls: list[Polygon]) -> None:
    """Give each surface its part of a triangle, in order."""
    rest = triangle
    for column, surface in enumerate(list(TILE_METRES)[:-1], start=2):
        values = [corner[column] for corner in rest]
        if min(values) >= 0:
            continue
        inside, edge = _clip(rest, column, 1.0)
        polygons[surface].append(inside)
        if column == 2 and len(edge) == 2:
            walls.append(edge)
        if max(values) <= 0:
            return
        rest, _ = _clip(rest, column, -1.0)
    polygons["grass"].append(rest)


def _clip(polygon: Polygon, column: int, sign: float) -> tuple[Polygon, Polygon]:
    """Keep the part where ``sign · field`` is not positive; also return the points on the cut, in order."""
    kept: Polygon = []
    edge: Polygon = []
    for here, there in zip(polygon, [*polygon[1:], polygon[0]], strict=True):
        a, b = sign * here[column], sign * there[column]
        if a <= 0:
            kept.append(here)
        if a * b < 0:
            share = a / (a - b)
            edge.append([one + (other - one) * share for one, other in zip(here, there, strict=True)])
            kept.append(edge[-1])
    return kept, edge


def _flat_mesh(pieces: list[Polygon], surface: str) -> Mesh:
    level = ROAD_Z if surface == "asphalt" else 0.0
    if sum(len(piece) for piece in pieces) < _FEWEST:
        pieces = pieces * 2
    points = np.array([corner[:2] for piece in pieces for corner in piece])
    starts = np.cumsum([0, *(len(piece) for piece in pieces)])[:-1]
    fans = [
        start + np.array([[0, k, k + 1] for k in range(1, len(piece) - 1)])
        for start, piece in zip(starts, pieces, strict=True)
        if len(piece) > 2
    ]
    vertices = np.column_stack([points, np.full(len(points), level)])
    normals = np.tile([0.0, 0.0, 1.0], (len(points), 1))
    return Mesh(vertices, normals, points / TILE_METRES[surface], np.vstack(fans).astype(np.int32))


def _wall_mesh(edges: list[Polygon]) -> Mesh:
    """Stand a kerb face on every piece of the road's outline, seen from both sides."""
    line = np.array(edges)[:, :, :2]
    low, high = (np.concatenate([line, np.full((*line.shape[:2], 1), z)], axis=-1) for z in (ROAD_Z - 0.02, 0.0))
    corners = np.stack([low[:, 0], low[:, 1], high[:, 1], high[:, 0]], axis=1).reshape(-1, 3)
    faces = np.arange(0, len(corners), 4)[:, None] + np.array([[0, 1, 2, 0, 2, 3]])
    along = np.tile([[0.0, 0], [1, 0], [1, 0.1], [0, 0.1]], (len(line), 1))
    normals = np.tile([0.0, 0.0, 1.0], (len(corners), 1)) * 0.5
    return Mesh(corners, normals, along, faces.reshape(-1, 3).astype(np.int32)).two_sided()
