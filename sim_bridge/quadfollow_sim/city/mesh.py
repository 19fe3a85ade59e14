"""Triangle meshes with normals and texture coordinates, and the few shapes the city is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Mesh:
    """Vertices in metres, one normal and one texture coordinate each; faces are counter-clockwise from outside."""

    vertices: Floats
    """``(V, 3)``"""
    normals: Floats
    """``(V, 3)``, length 1."""
    uv: Floats
    """``(V, 2)``; v = 0 is the texture's lower edge."""
    faces: NDArray[np.int32]
    """``(F, 3)``"""

    def placed(self, position: ArrayLike, yaw: float = 0.0, scale: ArrayLike = 1.0) -> Mesh:
        """Return the mesh scaled, turned about z by ``yaw`` radians and moved to ``position``."""
        turn = rotation_z(yaw)
        moved = (self.vertices * np.asarray(scale, dtype=np.float64)) @ turn.T + np.asarray(position, dtype=np.float64)
        return Mesh(moved, self.normals @ turn.T, self.uv, self.faces)

    def two_sided(self) -> Mesh:
        """Return the mesh with every face seen from behind as well, lit as from the front."""
        return Mesh(self.vertices, self.normals, self.uv, np.vstack([self.faces, self.faces[:, ::-1]]))

    def with_uv(self, uv: Floats) -> Mesh:
        """Return the mesh with other texture coordinates."""
        return Mesh(self.vertices, self.normals, uv, self.faces)


def merge(meshes: Sequence[Mesh]) -> Mesh:
    """Join meshes into one."""
    offsets = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes)])[:-1]
    faces = [mesh.faces + offset for mesh, offset in zip(meshes, offsets, strict=True)]
    vertices, normals, uv = (
        np.vstack([getattr(mesh, name) for mesh in meshes]) for name in ("vertices", "normals", "uv")
    )
    return Mesh(vertices, normals, uv, np.vstack(faces).astype(np.int32))


def quads(corners: Floats, uv: Floats) -> Mesh:
    """Make ``N`` flat quads from ``(N, 4, 3)`` corners, counter-clockwise, and ``(N, 4, 2)`` texture coordinates."""
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 3] - corners[:, 0])
    first = np.arange(len(corners))[:, None] * 4
    faces = np.concatenate([first + [0, 1, 2], first + [0, 2, 3]])
    return Mesh(corners.reshape(-1, 3), np.repeat(unit(normals), 4, axis=0), uv.reshape(-1, 2), faces.astype(np.int32))


def loft(rings: Floats, along: Floats, *, closed: tuple[bool, bool] = (True, True)) -> Mesh:
    """Stretch a skin over ``(R, S, 3)`` rings; u runs around each ring, v is ``along`` at each ring.

    The rings go counter-clockwise seen from the last one. ``closed`` says whether first and last ring get a lid.
    """
    count, sides = rings.shape[:2]
    wrapped = np.concatenate([rings, rings[:, :1]], axis=1)
    u, v = np.meshgrid(np.linspace(0, 1, sides + 1), along)
    vertices, uv = wrapped.reshape(-1, 3), np.stack([u, v], axis=-1).reshape(-1, 2)
    faces = _grid_faces(count, sides + 1)
    lids = [
        _lid(index * (sides + 1), sides, flip=index == 0)
        for index, lid in zip((0, count - 1), closed, strict=True)
        if lid
    ]
    normals = _ring_normals(wrapped)
    return Mesh(vertices, normals, uv, np.vstack([faces, *lids]).astype(np.int32))


def _grid_faces(rows: int, columns: int) -> NDArray[np.int64]:
    row, column = np.meshgrid(np.arange(rows - 1), np.arange(columns - 1), indexing="ij")
    a = (row * columns + column).ravel()
    b, c, d = a + 1, a + columns + 1, a + columns
    return np.concatenate([np.stack([a, b, c], axis=1), np.stack([a, c, d], axis=1)])


def _lid(first: int, sides: int, *, flip: bool) -> NDArray[np.int64]:
    fan = first + np.array([[0, k, k + 1] for k in range(1, sides - 1)])
    return fan[:, ::-1] if flip else fan


def _ring_normals(wrapped: Floats) -> Floats:
    """Normals of a lofted grid: the cross product of its two directions, joined over the seam."""
    around = np.roll(wrapped[:, :-1], -1, axis=1) - np.roll(wrapped[:, :-1], 1, axis=1)
    along = np.gradient(wrapped[:, :-1], axis=0)
    normals = unit(np.cross(around, along).reshape(-1, 3)).reshape(around.shape)
    return np.concatenate([normals, normals[:, :1]], axis=1).reshape(-1, 3)


def ring(center: ArrayLike, radii: tuple[float, float], sides: int, power: float = 2.0) -> Floats:
    """Return ``(sides, 3)`` points of a level superellipse, counter-clockwise seen from above."""
    angle = np.arange(sides) * (2 * np.pi / sides)
    cos, sin = np.cos(angle), np.sin(angle)
    x, y = (np.sign(value) * np.abs(value) ** (2 / power) for value in (cos, sin))
    return np.stack([radii[0] * x, radii[1] * y, np.zeros(sides)], axis=1) + np.asarray(center, dtype=np.float64)


def rotation_z(yaw: float) -> Floats:
    """Return the 3×3 turn by ``yaw`` radians about z."""
    cos, sin = np.cos(yaw), np.sin(yaw)
    return np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])


def unit(vectors: Floats) -> Floats:
    """Scale each row to length 1; rows of length zero stay so."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.where(length > 1e-9, length, 1.0))
