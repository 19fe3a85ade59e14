"""How people look: build, hair and clothes, and the texture atlas that is wrapped around them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.random import Generator

from quadfollow_core.errors import BadInput
from quadfollow_sim.city.mesh import Floats
from quadfollow_sim.city.textures import Picture, noise, paint

Colour = tuple[int, int, int]
Hair = Literal["bald", "short", "long", "tail"]

TILE = 64
TORSO, ARM, LEG, HEAD, HAIR, SHOE, SKIRT, HAND = range(8)
"""Cells of the atlas, four to a row."""


@dataclass(frozen=True, slots=True)
class Outfit:
    """One person's looks. Lengths are metres, shares are of the limb they cover."""

    height: float
    girth: float
    """Width against the average body."""
    woman: bool
    hair: Hair
    skin_colour: Colour
    hair_colour: Colour
    top_colour: Colour
    bottom_colour: Colour
    shoe_colour: Colour
    sleeve: float
    """Share of the arm from the shoulder."""
    leg: float
    """Share of the leg from the hip."""
    skirt: float
    """Length below the hip as a share of the height; 0 for none."""
    skirt_is_top: bool = True
    """Whether the skirt is the top's lower end (a tunic) or has the trousers' colour."""


TARGET = Outfit(
    1.6, 0.95, True, "long", (135, 108, 94), (172, 16, 16), (196, 26, 26), (74, 20, 16), (178, 20, 22), 0.0, 1.0, 0.055
)  # fmt: skip
"""Red hair, red sleeveless top, dark red-brown tights, red shoes: as QuadSim's."""

_REDS: tuple[Colour, ...] = ((190, 28, 26), (150, 20, 22), (120, 24, 20), (176, 36, 60))


@dataclass(frozen=True, slots=True)
class Look:
    """Whom to follow: the target's outfit, and the colours that decoys borrow from it."""

    outfit: Outfit
    near: tuple[Colour, ...]
    near_legs: Colour


TARGETS = {
    "red": Look(TARGET, _REDS, (60, 26, 22)),
    "yellow": Look(
        replace(
            TARGET,
            hair_colour=(214, 186, 60),
            top_colour=(236, 204, 24),
            bottom_colour=(104, 88, 14),
            shoe_colour=(226, 196, 30),
        ),
        ((220, 190, 30), (196, 168, 24), (240, 214, 80), (170, 140, 16)),
        (72, 62, 22),
    ),
    "blue": Look(
        replace(
            TARGET,
            hair_colour=(24, 44, 176),
            top_colour=(22, 60, 214),
            bottom_colour=(14, 26, 92),
            shoe_colour=(24, 52, 190),
        ),
        ((24, 50, 190), (18, 36, 150), (40, 70, 220), (16, 28, 116)),
        (20, 26, 64),
    ),
}
"""The outfits that a city's target can have, by name; decoys are dressed nearly like it."""


def find_look(name: str) -> Look:
    """Look an outfit up by its name.

    Raises:
        BadInput: there is none of that name.
    """
    if name not in TARGETS:
        raise BadInput(f"no outfit named {name!r}: there are {', '.join(TARGETS)}")
    return TARGETS[name]


_SKIN: tuple[Colour, ...] = ((178, 132, 106), (135, 108, 94), (96, 66, 50), (196, 154, 128), (150, 104, 78))
_DARK: tuple[Colour, ...] = (
    (30, 34, 44), (44, 40, 40), (24, 40, 72), (40, 52, 40), (62, 50, 42), (36, 62, 84), (70, 70, 76), (54, 34, 58),
)  # fmt: skip
_BRIGHT: tuple[Colour, ...] = (
    (206, 206, 198), (150, 160, 60), (60, 120, 104), (86, 130, 176), (200, 120, 44), (196, 60, 130), (120, 124, 130),
)  # fmt: skip
_HAIR: tuple[Colour, ...] = (
    (40, 28, 22), (24, 22, 22), (96, 62, 34), (176, 140, 84), (30, 104, 84), (84, 66, 128), (60, 110, 124),
    (120, 120, 124), (128, 76, 40),
)  # fmt: skip


def draw_outfit(rng: Generator) -> Outfit:
    """Dress a passer-by: mostly dark, any hair, some bright shirts; never red."""
    woman = bool(rng.random() < 0.5)
    hair: Hair = str(rng.choice(["long", "tail", "short"] if woman else ["short", "short", "bald"]))  # type: ignore[assignment]
    tops = _BRIGHT if rng.random() < 0.45 else _DARK
    skirted = woman and rng.random() < 0.3
    return Outfit(
        height=float(rng.normal(1.66 if woman else 1.78, 0.06)),
        girth=float(rng.uniform(0.92, 1.15)),
        woman=woman,
        hair=hair,
        skin_colour=_pick(rng, _SKIN),
        hair_colour=_pick(rng, _HAIR),
        top_colour=_pick(rng, tops),
        bottom_colour=_pick(rng, _DARK if rng.random() < 0.85 else _BRIGHT),
        shoe_colour=_pick(rng, _DARK),
        sleeve=float(rng.choice([0.0, 0.35, 0.95, 0.95])),
        leg=float(rng.choice([0.35, 0.95, 0.95, 0.95])),
        skirt=float(rng.uniform(0.05, 0.16)) if skirted else 0.0,
        skirt_is_top=bool(rng.random() < 0.5),
    )


def draw_decoy(rng: Generator, look: Look) -> Outfit:
    """Dress somebody nearly like the target: her hair or colours of her clothes, but never both from head to foot."""
    other = draw_outfit(rng)
    kind = int(rng.integers(4))
    if kind == 0:
        return replace(other, woman=True, hair="long", hair_colour=look.outfit.hair_colour)
    if kind == 1:
        return replace(other, top_colour=_pick(rng, look.near), bottom_colour=look.near_legs, sleeve=0.0)
    if kind == 2:
        return replace(other, top_colour=_pick(rng, look.near), skirt=0.1, skirt_is_top=True)
    return replace(other, bottom_colour=_pick(rng, look.near), shoe_colour=_pick(rng, look.near))


def draw_target(rng: Generator, look: Look) -> Outfit:
    """Dress the target, her colours a little more or less bright."""
    light = float(rng.uniform(0.85, 1.12))

    def lit(colour: Colour) -> Colour:
        red, green, blue = (min(255, round(value * light)) for value in colour)
        return red, green, blue

    outfit = look.outfit
    return replace(outfit, hair_colour=lit(outfit.hair_colour), top_colour=lit(outfit.top_colour))


def _pick(rng: Generator, colours: tuple[Colour, ...]) -> Colour:
    red, green, blue = (
        int(np.clip(value * rng.uniform(0.85, 1.15) + rng.normal(0, 5), 4, 250))
        for value in colours[int(rng.integers(len(colours)))]
    )
    return red, green, blue


def atlas(outfit: Outfit, rng: Generator) -> Picture:
    """Paint the ``(128, 256, 3)`` atlas; within a cell u goes around the body from its front, v goes up."""
    picture = np.zeros((2 * TILE, 4 * TILE, 3), dtype=np.uint8)
    for kind, cell in _cells(outfit).items():
        folds = 1 + 0.1 * noise(rng, TILE, 6, 2) + 0.06 * noise(rng, TILE, 24, 1)
        row, column = divmod(kind, 4)
        area = picture[row * TILE : (row + 1) * TILE, column * TILE : (column + 1) * TILE]
        area[:] = paint((1, 1, 1), cell * folds[:, :, None])
    return picture


def _cells(outfit: Outfit) -> dict[int, Floats]:
    skirt = outfit.top_colour if outfit.skirt_is_top else outfit.bottom_colour
    hips = skirt if outfit.skirt else outfit.bottom_colour
    return {
        TORSO: _bands([(hips, 0.3), (outfit.top_colour, 0.88), (outfit.skin_colour, 1.0)]),
        ARM: _bands([(outfit.skin_colour, 1 - outfit.sleeve), (outfit.top_colour, 1.0)]),
        LEG: _bands([(outfit.skin_colour, 1 - outfit.leg), (outfit.bottom_colour, 1.0)]),
        HEAD: _face(outfit),
        HAIR: _bands([(outfit.hair_colour, 1.0)]) * _strands(),
        SHOE: _bands([(outfit.shoe_colour, 1.0)]),
        SKIRT: _bands([(skirt, 1.0)]),
        HAND: _bands([(outfit.skin_colour, 1.0)]),
    }


def _bands(bands: list[tuple[Colour, float]]) -> Floats:
    """Stack colours from below, each up to its share of the cell."""
    cell, low = np.zeros((TILE, TILE, 3)), 0
    for colour, share in bands:
        high = round(share * TILE)
        cell[TILE - high : TILE - low] = colour
        low = max(low, high)
    return cell


def _strands() -> Floats:
    return np.asarray((0.82 + 0.18 * np.sin(np.arange(TILE) * 1.7))[None, :, None])


def _face(outfit: Outfit) -> Floats:
    """Skin with eyes and mouth; the face's middle lies on the cell's left and right edges."""
    cell = _bands([(outfit.skin_colour, 1.0)])
    for column in (4, TILE - 7):
        cell[26:29, column : column + 3] = (40, 30, 30)
    cell[42:44, [0, 1, 2, -3, -2, -1]] = (140, 60, 58)
    return cell
