"""Paint on the road, and posts beside it. Paint lies one centimetre above the asphalt."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.random import Generator

from quadfollow_sim.city.fields import Box, Road, Shape
from quadfollow_sim.city.mesh import Floats, Mesh, loft, merge, quads, ring, rotation_z
from quadfollow_sim.city.plan import REACH, ROAD_Z, Plan

WHITE, YELLOW = 0.25, 0.75
"""Where the two colours lie along the paint texture's v."""

Stroke = tuple[Floats, float]
"""Four corners ``(4, 2)``, counter-clockwise, and the colour's v."""


def paint_roads(plan: Plan, rng: Generator) -> Mesh:
    """Return all markings as one mesh."""
    strokes: list[Stroke] = []
    for road in plan.roads:
        strokes += [stroke for stroke in _lines(road) if _alone(plan, road, stroke)]
    strokes += list(_zebras(plan, rng))
    strokes += list(_bays(plan.parking))
    strokes += list(_zigzag(plan.roads[0], float(rng.uniform(-35, 35))))
    corners = np.array([stroke for stroke, _ in strokes])
    raised = np.concatenate([corners, np.full((*corners.shape[:2], 1), ROAD_Z + 0.012)], axis=-1)
    uv = np.stack(
        [corners[..., 0] / 7, np.array([v for _, v in strokes])[:, None] + 0.15 * np.sin(corners[..., 1])], axis=-1
    )
    return quads(raised, uv)


def _strip(road: Road, start: float, end: float, lateral: tuple[float, float], colour: float) -> Stroke:
    corners = [road.point(np.array(s), side) for s, side in ((start, lateral[0]), (end, lateral[0]))]
    corners += [road.point(np.array(s), side) for s, side in ((end, lateral[1]), (start, lateral[1]))]
    return np.array(corners), colour


def _lines(road: Road) -> Iterator[Stroke]:
    for start in np.arange(-REACH, REACH, 6.0):
        yield _strip(road, start, start + 2.6, (-0.09, 0.09), YELLOW)
    edge = road.half_width - 0.35
    for start in np.arange(-REACH, REACH, 3.0):
        for side in (-edge, edge):
            yield _strip(road, start, start + 2.4, (side - 0.06, side + 0.06), WHITE)


def _alone(plan: Plan, road: Road, stroke: Stroke) -> bool:
    """Tell whether no other road or car park lies under a stroke."""
    x, y = stroke[0].mean(axis=0)
    shapes: tuple[Shape, ...] = (*plan.roads, plan.parking)
    others = [shape for shape in shapes if shape is not road]
    return all(float(shape.distance(np.array(x), np.array(y))) > 1.0 for shape in others)


def _zebras(plan: Plan, rng: Generator) -> Iterator[Stroke]:
    road = plan.roads[0]
    for center in (plan.stage[0] - road.origin[0], float(rng.uniform(-50, 50))):
        width = road.half_width - 0.3
        for lateral in np.arange(-width, width, 1.0):
            yield _strip(road, center - 1.6, center + 1.6, (lateral, lateral + 0.5), WHITE)
        yield _strip(road, center - 3.2, center - 2.8, (-width, 0.0), WHITE)


def _zigzag(road: Road, center: float) -> Iterator[Stroke]:
    edge = road.half_width - 0.8
    for index in range(6):
        start = center + index * 2.0
        low, high = (edge - 1.2, edge) if index % 2 else (edge, edge - 1.2)
        corners = [(start, low - 0.1), (start + 2.0, high - 0.1), (start + 2.0, high + 0.1), (start, low + 0.1)]
        yield np.array([road.point(np.array(s), lateral) for s, lateral in corners]), WHITE


def _bays(parking: Box) -> Iterator[Stroke]:
    """Two rows of parking bays about a middle line, and an arrow's bar in each lane."""
    half_x, half_y = parking.half
    for x in np.arange(-half_x + 3, half_x - 2.9, 2.7):
        yield _rectangle(parking, x, 0.0, 0.09, 4.2)
    yield _rectangle(parking, 0.0, 0.0, half_x - 3, 0.09)
    for y in (-half_y + 2.6, half_y - 2.6):
        yield _rectangle(parking, 0.0, y, 1.6, 0.12)
        yield _triangle(parking, 2.4, y)


def _rectangle(parking: Box, x: float, y: float, half_x: float, half_y: float) -> Stroke:
    return Box((parking.center[0] + x, parking.center[1] + y), (half_x, half_y)).corners(), WHITE


def _triangle(parking: Box, x: float, y: float) -> Stroke:
    corners = np.array([[-0.8, -0.5], [0.8, -0.02], [0.8, 0.02], [-0.8, 0.5]]) + [x, y]
    return corners + parking.center, WHITE


def build_posts(plan: Plan) -> Mesh:
    """Lamp posts: a slim tube with a lamp."""
    pole = loft(
        np.stack([ring((0, 0, z), (r, r), 6) for z, r in ((0, 0.09), (0.4, 0.06), (5.2, 0.045))]), np.array([0, 0.1, 1])
    )
    lamp = loft(np.stack([ring((0.3, 0, z), (0.5, 0.12), 8) for z in (5.1, 5.3)]), np.array([0, 0.1]))
    single = merge([pole, lamp])
    return merge([single.placed((x, y, 0.0), yaw=index) for index, (x, y) in enumerate(plan.posts)])


def build_signs(plan: Plan) -> Mesh:
    """Stop signs: an octagon that shows the whole texture, on a thin pole of its lowest row."""
    y, z = (ring((0, 0, 0), (0.42, 0.42), 8) @ rotation_z(np.pi / 8).T)[:, :2].T
    vertices = np.column_stack([np.full(8, 0.05), y, z + 2.3])
    faces = np.array([[0, k, k + 1] for k in range(1, 7)], dtype=np.int32)
    plate = Mesh(vertices, np.tile([1.0, 0.0, 0.0], (8, 1)), np.column_stack([0.5 + y / 0.84, 0.58 + z / 1.02]), faces)
    pole = loft(np.stack([ring((0, 0, z), (0.035, 0.035), 6) for z in (0.0, 2.7)]), np.array([0.0, 1.0]))
    sign = merge([plate.two_sided(), pole.with_uv(pole.uv * [0.0, 0.02] + [0.5, 0.03])])
    return merge([sign.placed((x, y, 0.0), yaw) for x, y, yaw in plan.signs])
