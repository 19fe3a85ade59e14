"""The city's plan: where its streets, squares, houses and trees are. Drawn from a preset and a random generator."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from quadfollow_sim.city.fields import Box, Disc, Road, Shape, smooth_union
from quadfollow_sim.city.mesh import Floats
from quadfollow_sim.city.presets import Preset

ROAD_Z = -0.12
"""Height of the carriageway; everything else is at zero."""
PAVEMENT = 2.2
"""Width of the pavement beside a road, metres."""
REACH = 90.0
"""Half the side of the square that is laid out, metres; people keep within ``WALKED``."""
WALKED = 55.0
_BUILDINGS = 34


@dataclass(frozen=True, slots=True)
class Building:
    """A house: its outline, its storeys of ``storey`` metres, and which of the façades it wears."""

    outline: Box
    storeys: int
    style: int
    storey: float = 3.3

    @property
    def height(self) -> float:
        """Height of the walls, metres."""
        return self.storeys * self.storey + 1.0


@dataclass(frozen=True, slots=True)
class Tree:
    """A tree: where its trunk stands, its height, its shape and the colour of its leaves."""

    position: tuple[float, float]
    height: float
    shape: int
    colour: int
    yaw: float


@dataclass(frozen=True, slots=True)
class Bed:
    """A round bed with a bush, inside a kerb ring that is painted red and white or left grey."""

    disc: Disc
    bush: float
    """Height of the bush, metres."""
    painted: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """All that stands still, in the world frame."""

    roads: tuple[Road, ...]
    parking: Box
    squares: tuple[Box | Disc, ...]
    buildings: tuple[Building, ...]
    trees: tuple[Tree, ...]
    beds: tuple[Bed, ...]
    posts: tuple[tuple[float, float], ...]
    signs: tuple[tuple[float, float, float], ...]
    """Stop signs: x, y and the direction in radians that they face."""
    stage: tuple[float, float]
    """Where most people are."""

    def asphalt(self, x: Floats, y: Floats) -> Floats:
        """Distance to the edge of what is asphalted."""
        shapes: tuple[Shape, ...] = (*self.roads, self.parking)
        return _union([shape.distance(x, y) for shape in shapes], 5.0)

    def paved(self, x: Floats, y: Floats) -> Floats:
        """Distance to the edge of the squares and their paths."""
        return _union([shape.distance(x, y) for shape in self.squares], 3.0)

    def free(self, x: Floats, y: Floats) -> Floats:
        """Distance to the nearest thing that a person cannot walk through."""
        solid = [building.outline.distance(x, y) for building in self.buildings]
        solid += [bed.disc.distance(x, y) for bed in self.beds]
        thin = [tree.position for tree in self.trees] + [*self.posts, *((a, b) for a, b, _ in self.signs)]
        solid += [np.hypot(x - a, y - b) - 0.25 for a, b in thin]
        return functools.reduce(np.minimum, solid)

    def height(self, x: Floats, y: Floats) -> Floats:
        """Height of the ground, with the kerb's step smoothed over 20 cm as a foot does."""
        return np.asarray(ROAD_Z * np.clip(0.5 - self.asphalt(x, y) / 0.2, 0, 1))


def _union(fields: list[Floats], radius: float) -> Floats:
    return functools.reduce(lambda one, other: smooth_union(one, other, radius), fields)


def draw_plan(preset: Preset, rng: Generator) -> Plan:
    """Lay out a city for a preset."""
    roads = _draw_roads(rng)
    squares, parking = _draw_squares(roads, rng)
    center = squares[0].center
    stage = (
        center if preset.stage == "plaza" else (float(roads[0].point(np.array(center[0]))[0]), _road_y(roads, center))
    )
    bare = Plan(roads, parking, squares, (), (), (), (), (), stage)
    buildings = _draw_buildings(bare, rng)
    beds = _draw_beds(bare, buildings, rng)
    trees = _draw_trees(bare, buildings, beds, int(rng.integers(preset.trees[0], preset.trees[1] + 1)), rng)
    return Plan(roads, parking, squares, buildings, trees, beds, _draw_posts(bare, rng), _draw_signs(bare), stage)


def _road_y(roads: tuple[Road, ...], center: tuple[float, float]) -> float:
    return float(roads[0].point(np.array(center[0]))[1])


def _draw_roads(rng: Generator) -> tuple[Road, ...]:
    def wavy(along_y: bool, origin: tuple[float, float], half_width: float) -> Road:
        swing, wavelength = float(rng.uniform(0, 5)), float(rng.uniform(90, 160))
        return Road(origin, along_y, half_width, swing, wavelength, float(rng.uniform(0, 6.28)))

    first = wavy(False, (0.0, float(rng.uniform(-6, 6))), float(rng.uniform(3.6, 5.0)))
    cross = wavy(True, (float(rng.uniform(-34, -22)), 0.0), float(rng.uniform(3.2, 4.2)))
    far = wavy(False, (0.0, float(rng.choice([-1, 1]) * rng.uniform(62, 75))), 3.6)
    return first, cross, far


def _draw_squares(roads: tuple[Road, ...], rng: Generator) -> tuple[tuple[Box | Disc, ...], Box]:
    side = float(rng.choice([-1, 1]))
    half = (float(rng.uniform(14, 22)), float(rng.uniform(11, 17)))
    road_y = roads[0].origin[1]
    center = (float(rng.uniform(2, 14)), road_y + side * (half[1] + float(rng.uniform(12, 18))))
    square = Box(center, half, float(rng.uniform(-0.25, 0.25)), rounding=float(rng.uniform(2, 10)))
    path = Box((center[0], road_y + side * half[1] / 2), (float(rng.uniform(1.6, 3.0)), half[1]), 0.0, 0.2)
    aside = Box((center[0], center[1] + float(rng.uniform(-5, 5))), (REACH, float(rng.uniform(1.2, 2.2))), 0.05)
    parking_half = (float(rng.uniform(13, 18)), float(rng.uniform(9, 12)))
    parking_y = road_y - side * (parking_half[1] + roads[0].half_width - 1)
    parking = Box((float(rng.uniform(0, 22)), parking_y), parking_half, 0.0, rounding=3.0)
    extra = Disc((float(rng.uniform(-66, -48)), center[1]), float(rng.uniform(7, 12)))
    return (square, path, aside, extra), parking


def _draw_buildings(plan: Plan, rng: Generator) -> tuple[Building, ...]:
    chosen: list[Building] = []
    for _ in range(1500):
        building = _draw_building(plan, rng)
        if building is not None and _fits(plan, building.outline, chosen):
            chosen.append(building)
        if len(chosen) == _BUILDINGS:
            break
    return tuple(chosen)


def _draw_building(plan: Plan, rng: Generator) -> Building | None:
    half = (float(rng.uniform(5, 12)), float(rng.uniform(4, 8)))
    if rng.random() < 0.4:  # anywhere near the stage
        x, y = (float(value) for value in rng.normal(plan.stage, 30))
        return _dress(Box((x, y), half, float(rng.uniform(-0.3, 0.3))), rng)
    road = plan.roads[int(rng.integers(len(plan.roads)))]
    s = float(rng.uniform(-REACH, REACH))
    setback = road.half_width + PAVEMENT + float(rng.choice([1.0, 4.0, 9.0, 25.0])) + half[1]
    x, y = road.point(np.array(s), setback * float(rng.choice([-1, 1])))
    if max(abs(x), abs(y)) > REACH:
        return None
    return _dress(Box((float(x), float(y)), half, road.heading(s)), rng)


def _dress(outline: Box, rng: Generator) -> Building:
    return Building(outline, int(rng.choice([1, 2, 2, 3, 3, 4])), int(rng.integers(6)))


def _fits(plan: Plan, outline: Box, others: list[Building]) -> bool:
    x, y = _samples(outline)
    if min(plan.asphalt(x, y).min() - PAVEMENT, plan.paved(x, y).min()) < 0.6:
        return False
    return all(other.outline.distance(x, y).min() > 4.0 for other in others)


def _samples(outline: Box) -> tuple[Floats, Floats]:
    grid = np.linspace(-1, 1, 9)
    a, b = (axis.ravel() for axis in np.meshgrid(grid * outline.half[0], grid * outline.half[1]))
    cos, sin = np.cos(outline.yaw), np.sin(outline.yaw)
    return outline.center[0] + cos * a - sin * b, outline.center[1] + sin * a + cos * b


def _draw_beds(plan: Plan, buildings: tuple[Building, ...], rng: Generator) -> tuple[Bed, ...]:
    square = plan.squares[0]
    near = [(square.center[0] + float(rng.normal(0, 9)), square.center[1] + float(rng.normal(0, 7))) for _ in range(2)]
    far = [(float(rng.uniform(-50, 50)), float(rng.uniform(-50, 50))) for _ in range(14)]
    beds: list[Bed] = []
    for index, (x, y) in enumerate(near + far):
        disc = Disc((x, y), float(rng.uniform(1.2, 3.2)))
        bed = Bed(disc, float(rng.uniform(1.0, 3.5)), bool(rng.random() < (1.0 if index < 2 else 0.5)))
        if len(beds) < 8 and _is_clear(plan, buildings, beds, disc):
            beds.append(bed)
    return tuple(beds)


def _is_clear(plan: Plan, buildings: tuple[Building, ...], beds: list[Bed], disc: Disc) -> bool:
    x, y = np.array(disc.center[0]), np.array(disc.center[1])
    houses = min(float(building.outline.distance(x, y)) for building in buildings)
    others = min((float(bed.disc.distance(x, y)) for bed in beds), default=np.inf)
    roads = float(plan.asphalt(x, y)) - PAVEMENT
    return min(houses, others, roads) > disc.radius + 1.0


def _draw_trees(
    plan: Plan, buildings: tuple[Building, ...], beds: tuple[Bed, ...], count: int, rng: Generator
) -> tuple[Tree, ...]:
    trees: list[Tree] = []
    for _ in range(2000):
        x, y = (float(value) for value in rng.normal(plan.stage, 32))
        apart = all(np.hypot(x - tree.position[0], y - tree.position[1]) > 4 for tree in trees)
        if apart and _on_grass(plan, x, y) and _is_clear(plan, buildings, list(beds), Disc((x, y), 1.0)):
            shape, colour, yaw = int(rng.integers(4)), int(rng.integers(7)), float(rng.uniform(0, 6.28))
            trees.append(Tree((x, y), float(rng.uniform(4.5, 9.5)), shape, colour, yaw))
        if len(trees) == count:
            break
    return tuple(trees)


def _on_grass(plan: Plan, x: float, y: float) -> bool:
    at = np.array(x), np.array(y)
    if max(abs(x), abs(y)) > REACH:
        return False
    return float(plan.asphalt(*at)) > PAVEMENT + 0.5 and float(plan.paved(*at)) > 0.5


def _draw_posts(plan: Plan, rng: Generator) -> tuple[tuple[float, float], ...]:
    places = np.arange(-70.0, 71.0, float(rng.uniform(18, 28)))
    road = plan.roads[0]
    points = road.point(places, road.half_width + 0.5)
    return tuple((float(x), float(y)) for x, y in points if plan.asphalt(x, y) > 0.2)


def _draw_signs(plan: Plan) -> tuple[tuple[float, float, float], ...]:
    """Stop signs where the cross road meets the first, and one on either side of the stage."""
    first, cross = plan.roads[:2]
    ends = [(cross, first.origin[1] + side * (first.half_width + 5.0), side) for side in (-1, 1)]
    ends += [(first, plan.stage[0] - first.origin[0] + side * 14.0, side) for side in (-1, 1)]
    signs = []
    for road, s, side in ends:
        x, y = road.point(np.array(s), side * (road.half_width + 0.6))
        if float(plan.asphalt(x, y)) > 0.3:
            signs.append((float(x), float(y), road.heading(s) + (0.0 if side > 0 else np.pi)))
    return tuple(signs)
