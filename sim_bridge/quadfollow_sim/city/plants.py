"""Trees and bushes: lofted trunks, and crowns of small quads, for cut-out textures would cost more than they give."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from quadfollow_sim.city.mesh import Floats, Mesh, loft, merge, quads, ring, unit

SHAPES = 4
_QUADS = 240


@dataclass(frozen=True, slots=True)
class TreeShape:
    """A tree of height 1: scale it to size. The trunk's texture has four columns of bark, one per shape."""

    trunk: Mesh
    crown: Mesh


def draw_tree(rng: Generator, shape: int) -> TreeShape:
    """Grow one of the shapes."""
    lean = rng.normal(0, 0.03, 2)
    forks = [_limb(rng, lean, height) for height in rng.uniform(0.3, 0.5, 4)]
    trunk = merge(
        [_tube(np.array([0, 0, -0.02]), np.array([*lean, 0.75]), (0.033, 0.012)), *(limb for limb, _ in forks)]
    )
    ends = np.array([end for _, end in forks] + [[*lean, 0.82], [*(lean + rng.normal(0, 0.1, 2)), 0.7]])
    uv = trunk.uv * [0.2, 1.0] + [shape / SHAPES + 0.02, 0.0]
    return TreeShape(trunk.with_uv(uv), _foliage(rng, ends, rng.uniform(0.12, 0.19, len(ends)), _QUADS, 0.055))


def _limb(rng: Generator, lean: Floats, height: float) -> tuple[Mesh, Floats]:
    angle, reach = float(rng.uniform(0, 6.28)), float(rng.uniform(0.14, 0.26))
    end = np.array([lean[0] + reach * np.cos(angle), lean[1] + reach * np.sin(angle), height + rng.uniform(0.18, 0.36)])
    return _tube(np.array([*(lean * height), height]), end, (0.016, 0.006)), end


def _tube(start: Floats, end: Floats, radii: tuple[float, float]) -> Mesh:
    rings = np.stack([ring(start, (radii[0], radii[0]), 6), ring(end, (radii[1], radii[1]), 6)])
    return loft(rings, np.array([0.0, 1.0]), closed=(False, False))


def _foliage(rng: Generator, centers: Floats, radii: Floats, count: int, leaf: float) -> Mesh:
    """Scatter leaf quads over balls; they are lit as the balls would be, and seen from both sides."""
    which = rng.integers(0, len(centers), count)
    outward = unit(rng.normal(0, 1, (count, 3)))
    places = centers[which] + outward * (radii[which] * rng.uniform(0.45, 1.0, count) ** 0.5)[:, None]
    side = unit(np.cross(outward, rng.normal(0, 1, (count, 3))))
    up = unit(np.cross(side, outward) + rng.normal(0, 0.6, (count, 3)))
    size = leaf * rng.uniform(0.6, 1.3, (count, 1))
    corners = np.stack(
        [places - side * size, places - up * size * 0.6, places + side * size, places + up * size * 0.6], axis=1
    )
    cell = (rng.integers(0, 16, (count, 1, 2)) + 0.5) / 16
    flat = quads(corners, np.repeat(cell, 4, axis=1) + np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * 0.02)
    lit = unit(np.repeat(outward + [0, 0, 0.5], 4, axis=0))
    return Mesh(flat.vertices, lit, flat.uv, flat.faces).two_sided()


def draw_bush(rng: Generator) -> Mesh:
    """A bush of radius 1 and height 1, standing on the ground."""
    centers = np.column_stack([rng.uniform(-0.55, 0.55, (9, 2)), rng.uniform(0.15, 0.7, 9)])
    return _foliage(rng, centers, rng.uniform(0.25, 0.42, 9), 130, 0.13)


def kerb_ring(radius: float) -> Mesh:
    """A low wall of radius ``radius`` about the origin; a stone every half metre along u."""
    sides = 24
    profile = [(radius, 0.0), (radius, 0.35), (radius - 0.3, 0.35), (radius - 0.3, 0.05)]
    rings = np.stack([ring((0, 0, z), (r, r), sides) for r, z in profile])
    wall = loft(rings, np.array([0.0, 1.0, 1.6, 2.4]), closed=(False, False))
    return wall.with_uv(wall.uv * [max(4.0, round(2 * np.pi * radius)), 1.0])


def soil(radius: float) -> Mesh:
    """The earth inside a kerb ring."""
    rings = np.stack([ring((0, 0, 0.2), (radius, radius), 16), ring((0, 0, 0.3), (0.05, 0.05), 16)])
    return loft(rings, np.array([0.0, 1.0]), closed=(False, True))
