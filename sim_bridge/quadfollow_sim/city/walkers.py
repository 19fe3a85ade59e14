"""Where people walk: closed rounds between free places of the plan, each a pure function of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from quadfollow_core.errors import BadInput
from quadfollow_sim.city.gait import STRIDE, pose_bones
from quadfollow_sim.city.mesh import Floats
from quadfollow_sim.city.outfits import Outfit
from quadfollow_sim.city.plan import WALKED, Plan

SPACING = 0.2
"""Distance between the points of a round, metres."""
_CLEARANCE = 1.0
_SPREAD = 0.7
"""How far from a common node a person may pass it, metres."""
_NODES = 90


@dataclass(frozen=True, slots=True)
class Crowd:
    """All walking people; the target is number 0. Every method takes simulated seconds."""

    plan: Plan
    points: Floats
    """``(N, 2)``: all rounds one after the other, each closed, its points ``SPACING`` apart."""
    firsts: NDArray[np.int64]
    """``(P,)``: where each person's round begins in ``points``."""
    lengths: NDArray[np.int64]
    """``(P,)``: how many points it has."""
    starts: Floats
    paces: Floats
    """Mean speeds, m/s."""
    heights: Floats

    def travelled(self, time: float) -> Floats:
        """Return how far each person has gone along the round, metres; the pace swells and ebbs by 12 %."""
        return np.asarray(self.starts + self.paces * (time + 0.12 * 3 * np.sin(time / 3 + self.starts)))

    def feet(self, time: float) -> Floats:
        """Return ``(P, 3)`` points on the ground."""
        return self._at(self.travelled(time))

    def _at(self, travelled: Floats) -> Floats:
        points = self._interpolate(travelled)
        return np.column_stack([points, self.plan.height(points[:, 0], points[:, 1])])

    def _interpolate(self, travelled: Floats) -> Floats:
        at = travelled / SPACING
        index = np.floor(at)
        share = (at - index)[:, None]
        here, there = (self.points[self.firsts + np.mod(index + step, self.lengths).astype(int)] for step in (0, 1))
        return np.asarray(here * (1 - share) + there * share)

    def headings(self, time: float) -> Floats:
        """Return ``(P,)`` directions of walking, radians from x."""
        travelled = self.travelled(time)
        step = self._interpolate(travelled + 0.4) - self._interpolate(travelled - 0.4)
        return np.asarray(np.arctan2(step[:, 1], step[:, 0]))

    def bodies(self, time: float) -> tuple[Floats, Floats]:
        """Return every bone's position and rotation: ``(P, 13, 3)`` and ``(P, 13, 4)``."""
        phase = self.travelled(time) * (2 * np.pi / STRIDE) / self.heights
        return pose_bones(self.feet(time), self.headings(time), phase, self.heights)

    def middles(self, time: float) -> Floats:
        """Return ``(P, 3)`` middles of the bodies, where the middle of their pixels is: 54 % of the height up."""
        return self.feet(time) + np.outer(self.heights, [0, 0, 0.54])

    def velocities(self, time: float) -> Floats:
        """Return ``(P, 3)`` velocities of the middles, m/s, from a centred difference over 20 ms."""
        return np.asarray((self.middles(time + 0.01) - self.middles(time - 0.01)) / 0.02)


def draw_crowd(plan: Plan, outfits: Sequence[Outfit], pace: tuple[float, float], rng: Generator) -> Crowd:
    """Send people on rounds; the first, the target, keeps to the stage and walks at ``pace``."""
    nodes = _draw_nodes(plan, rng)
    paths = _ways(plan, nodes)
    near = np.exp(-np.linalg.norm(nodes - plan.stage, axis=1) / 14)
    rounds = [_draw_round(nodes, paths, near if index == 0 else near + 0.1, rng) for index in range(len(outfits))]
    paces = rng.uniform(0.8, 1.7, len(outfits))
    paces[0] = rng.uniform(*pace)
    starts = np.array([rng.uniform(0, len(path) * SPACING) for path in rounds])
    lengths = np.array([len(path) for path in rounds])
    firsts = np.cumsum(lengths) - lengths
    heights = np.array([outfit.height for outfit in outfits])
    return Crowd(plan, np.vstack(rounds), firsts, lengths, starts, paces, heights)


def _draw_nodes(plan: Plan, rng: Generator) -> Floats:
    points = np.concatenate(
        [rng.normal(plan.stage, 13, (4 * _NODES, 2)), rng.uniform(-WALKED, WALKED, (4 * _NODES, 2))]
    )
    points = rng.permutation(points)
    x, y = points.T
    usable = (plan.free(x, y) > 1.4) & (np.abs(points).max(axis=1) < WALKED)
    usable &= (plan.asphalt(x, y) > 0.4) | (rng.random(len(points)) < 0.25)
    return np.asarray(points[usable][:_NODES])


def _ways(plan: Plan, nodes: Floats) -> dict[tuple[int, int], list[int]]:
    """Find the shortest way between every two nodes that can reach each other (Floyd and Warshall)."""
    distance, first = _links(plan, nodes)
    for middle in range(len(nodes)):
        detour = distance[:, middle, None] + distance[None, middle]
        better = detour < distance
        distance = np.where(better, detour, distance)
        first = np.where(better, first[:, middle, None], first)
    reachable = zip(*np.nonzero(np.isfinite(distance)), strict=True)
    return {(int(a), int(b)): _follow(first, int(a), int(b)) for a, b in reachable if a != b}


def _links(plan: Plan, nodes: Floats) -> tuple[Floats, Floats]:
    """Return the ``(N, N)`` lengths of straight walks that are free, and the node each leads to."""
    length = np.linalg.norm(nodes[:, None] - nodes[None], axis=-1)
    one, other = np.nonzero(np.triu(length < 26, 1))
    share = np.linspace(0, 1, 40)[:, None, None]
    line = nodes[one] * (1 - share) + nodes[other] * share
    free = plan.free(line[..., 0], line[..., 1]).min(axis=0) > _CLEARANCE
    distance = np.full_like(length, np.inf)
    for a, b in ((one[free], other[free]), (other[free], one[free])):
        distance[a, b] = length[a, b]
    return distance, np.tile(np.arange(len(nodes)), (len(nodes), 1))


def _follow(first: Floats, start: int, end: int) -> list[int]:
    way = [start]
    while way[-1] != end:
        way.append(int(first[way[-1], end]))
    return way


def _draw_round(nodes: Floats, ways: dict[tuple[int, int], list[int]], weight: Floats, rng: Generator) -> Floats:
    """Visit a few nodes in turn and come back; the corners are rounded."""
    for _ in range(200):
        stops = [int(stop) for stop in rng.choice(len(nodes), 5, replace=False, p=weight / weight.sum())]
        legs = [ways.get(leg) for leg in zip(stops, [*stops[1:], stops[0]], strict=True)]
        if all(leg is not None for leg in legs):
            corners = [node for leg in legs if leg for node in leg[:-1]]
            apart = rng.uniform(-0.7, 0.7, (len(corners), 2)) * _SPREAD
            return _resample(_round_corners(nodes[corners] + apart))
    raise BadInput("no five places can be reached from each other")


def _round_corners(points: Floats) -> Floats:
    """Cut every corner back by at most 1.2 m, three times over (Chaikin's scheme with a limit)."""
    for reach in (1.2, 0.5, 0.2):
        following, preceding = np.roll(points, -1, axis=0), np.roll(points, 1, axis=0)
        points = np.stack([_toward(points, preceding, reach), _toward(points, following, reach)], axis=1).reshape(-1, 2)
    return points


def _toward(points: Floats, others: Floats, reach: float) -> Floats:
    step = others - points
    length = np.maximum(np.linalg.norm(step, axis=1, keepdims=True), 1e-9)
    return np.asarray(points + step * np.minimum(reach / length, 0.3))


def _resample(points: Floats) -> Floats:
    closed = np.vstack([points, points[:1]])
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(closed, axis=0), axis=1))])
    count = max(8, round(along[-1] / SPACING))
    at = np.linspace(0, along[-1], count, endpoint=False)
    return np.column_stack([np.interp(at, along, closed[:, axis]) for axis in range(2)])
