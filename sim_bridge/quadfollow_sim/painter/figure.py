"""A walking person as a solid: tapered limbs around a skeleton whose legs and arms swing.

Body frame: x forward, y left, z up, metres, origin on the ground below the hips. The gait is a function of its
phase alone, 2π per two steps. Proportions are those of a woman of 1.6 m.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from quadfollow_core.resize import PERSON, TARGET
from quadfollow_sim.painter.canvas import Colour, Floats, Solid, shade

HEIGHT = 1.6
"""The height the proportions are written for, metres."""
MIDDLE = 0.95
"""Height of the middle of the body of a person of HEIGHT, metres."""
STRIDE = 1.4
"""Metres per two steps."""
SIDES = 8
"""Corners of a limb's cross-section."""
LEFT = np.array([0.0, 1.0, 0.0])
SWING = 0.46
"""How far a leg swings to either side, radians."""
HIP, THIGH, SHIN, ANKLE = 0.82, 0.38, 0.37, 0.06
"""Height of the hips, lengths of the leg's halves, height of the ankle, metres."""


@dataclass(frozen=True, slots=True)
class Outfit:
    """What a person looks like; colours are RGB in full light."""

    hair: Colour
    top: Colour
    legs: Colour
    shoes: Colour
    skin: Colour = (150, 116, 100)
    sleeves: Colour | None = None
    """Colour of the arms; None for bare ones."""
    long_hair: bool = False
    height: float = HEIGHT
    label: int = PERSON
    grain: int = 0
    """Seed of the unevenness of the cloth."""


TARGET_OUTFIT = Outfit(
    hair=(178, 10, 14), top=(236, 26, 22), legs=(84, 28, 24), shoes=(228, 26, 30), long_hair=True, label=TARGET
)
"""The woman to follow."""


@dataclass(slots=True)
class _Chain:
    """A row of elliptical rings: centres ``(k, 3)``, radii across (left-right) and along, one colour per piece."""

    centres: list[tuple[float, float, float]]
    across: list[float]
    along: list[float]
    colours: list[Colour]


@dataclass(frozen=True, slots=True)
class Person:
    """A person in one outfit, ready to be stood anywhere at any phase of the gait."""

    outfit: Outfit
    unevenness: Floats = field(init=False, repr=False)

    def __post_init__(self) -> None:
        pieces = sum(len(chain.colours) for chain in _chains(self.outfit, 0.0))
        grain = np.random.default_rng(self.outfit.grain).uniform(0.72, 1.15, (pieces * SIDES, 1))
        object.__setattr__(self, "unevenness", grain)

    def solid(self, x: float, y: float, heading: float, phase: float) -> Solid:
        """Stand the person at ``(x, y)`` on the ground, facing ``heading`` (radians, counter-clockwise from x)."""
        faces, colours = _loft(_chains(self.outfit, phase))
        cos, sin = math.cos(heading), math.sin(heading)
        turned = faces * (self.outfit.height / HEIGHT) @ np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1.0]])
        placed = turned + (x, y, 0.0)
        return Solid(placed, shade(placed, colours * self.unevenness), self.outfit.label)


def _chains(outfit: Outfit, phase: float) -> list[_Chain]:
    """Pose the skeleton at a phase of the gait and hang the body on it, its lower foot on the ground."""
    legs = [_leg(outfit, side, phase + (0 if side > 0 else math.pi)) for side in (1, -1)]
    arms = [_arm(outfit, side, phase + (math.pi if side > 0 else 0)) for side in (1, -1)]
    feet = [_foot(outfit, leg) for leg in legs]
    parts = [*legs, *feet, *arms, _torso(outfit), *_head(outfit)]
    drop = ANKLE - min(leg.centres[-1][2] for leg in legs)
    for part in parts:
        part.centres = [(x, y, z + drop) for x, y, z in part.centres]
    return parts


def _leg(outfit: Outfit, side: int, phase: float) -> _Chain:
    thigh = SWING * math.sin(phase)
    shin = thigh - 0.12 - 0.8 * max(0.0, math.cos(phase))
    knee = (THIGH * math.sin(thigh), side * 0.075, HIP - THIGH * math.cos(thigh))
    ankle = (knee[0] + SHIN * math.sin(shin), side * 0.065, knee[2] - SHIN * math.cos(shin))
    radii = [0.088, 0.058, 0.04]
    return _Chain([(0.0, side * 0.08, HIP), knee, ankle], radii, radii, [outfit.legs] * 2)


def _foot(outfit: Outfit, leg: _Chain) -> _Chain:
    (knee_x, _, knee_z), (x, y, z) = leg.centres[1], leg.centres[2]
    tilt = math.atan2(x - knee_x, knee_z - z) * 0.8
    toe = (x + 0.17 * math.cos(tilt), y, z - 0.03 + 0.17 * math.sin(tilt))
    heel = (x - 0.06 * math.cos(tilt), y, z - 0.015 - 0.06 * math.sin(tilt))
    return _Chain([heel, (x, y, z), toe], [0.025, 0.048, 0.02], [0.02, 0.042, 0.01], [outfit.shoes] * 2)


def _arm(outfit: Outfit, side: int, phase: float) -> _Chain:
    upper = 0.42 * math.sin(phase)
    lower = upper + 0.3
    elbow = (0.25 * math.sin(upper), side * 0.2, 1.28 - 0.25 * math.cos(upper))
    wrist = (elbow[0] + 0.22 * math.sin(lower), side * 0.205, elbow[2] - 0.22 * math.cos(lower))
    hand = (wrist[0] + 0.1 * math.sin(lower), side * 0.2, wrist[2] - 0.1 * math.cos(lower))
    cloth = outfit.sleeves or outfit.skin
    return _Chain(
        [(0.0, side * 0.175, 1.3), elbow, wrist, hand],
        [0.042, 0.034, 0.025, 0.01],
        [0.05, 0.038, 0.028, 0.015],
        [cloth, cloth, outfit.skin],
    )


def _torso(outfit: Outfit) -> _Chain:
    heights = [0.74, 0.90, 1.05, 1.20, 1.30, 1.36, 1.40]
    across = [0.178, 0.162, 0.138, 0.165, 0.170, 0.07, 0.05]
    along = [0.13, 0.125, 0.10, 0.115, 0.095, 0.055, 0.05]
    return _Chain([(0.0, 0.0, z) for z in heights], across, along, [outfit.top] * 5 + [outfit.skin])


def _head(outfit: Outfit) -> list[_Chain]:
    face = _Chain(
        [(0.045, 0.0, 1.37), (0.055, 0.0, 1.43), (0.055, 0.0, 1.52)],
        [0.045, 0.066, 0.062],
        [0.04, 0.062, 0.06],
        [outfit.skin] * 2,
    )
    ends = [(-0.075, 1.16, 0.07, 0.03), (-0.06, 1.26, 0.118, 0.06)] if outfit.long_hair else []
    rings = [*ends, (-0.02, 1.38, 0.10, 0.075), (-0.005, 1.48, 0.108, 0.098), (0.0, 1.555, 0.088, 0.092)]
    rings += [(0.0, 1.60, 0.03, 0.035), (0.0, 1.61, 0.004, 0.004)]
    back, heights, across, along = zip(*rings, strict=True)
    hair = _Chain(
        [(x, 0.0, z) for x, z in zip(back, heights, strict=True)],
        list(across),
        list(along),
        [outfit.hair] * (len(rings) - 1),
    )
    return [face, hair]


def _loft(chains: list[_Chain]) -> tuple[Floats, Floats]:
    """Lay SIDES faces around every piece of every chain: ``(F, 4, 3)`` corners and ``(F, 3)`` colours."""
    start = np.array([point for chain in chains for point in chain.centres[:-1]])
    end = np.array([point for chain in chains for point in chain.centres[1:]])
    sizes = [list(zip(chain.across, chain.along, strict=True)) for chain in chains]
    start_size = np.array([size for chain in sizes for size in chain[:-1]])
    end_size = np.array([size for chain in sizes for size in chain[1:]])
    colours = np.array([colour for chain in chains for colour in chain.colours], dtype=np.float64)
    # Limbs swing in the body's x-z plane, so y always lies across them.
    forward = np.cross(LEFT, end - start)
    forward /= np.maximum(np.linalg.norm(forward, axis=1, keepdims=True), 1e-9)
    low, high = (_rings(*ring, forward) for ring in ((start, start_size), (end, end_size)))
    faces = np.stack([low[:, :-1], low[:, 1:], high[:, 1:], high[:, :-1]], axis=2)
    return faces.reshape(-1, 4, 3), colours.repeat(SIDES, axis=0)


def _rings(centres: Floats, sizes: Floats, forward: Floats) -> Floats:
    """Ellipses ``(P, SIDES + 1, 3)`` around centres ``(P, 3)``, with radii ``(P, 2)`` across and along."""
    angles = np.arange(SIDES + 1) * (2 * math.pi / SIDES)
    along = np.cos(angles)[:, None] * forward[:, None] * sizes[:, 1, None, None]
    across = np.sin(angles)[:, None] * LEFT * sizes[:, 0, None, None]
    return np.asarray(centres[:, None] + along + across)
