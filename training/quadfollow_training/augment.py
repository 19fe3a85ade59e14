"""Augmentation as small named steps that compose.

A step is a pure function of image, mask and random generator, and keeps the picture's size. ``STEPS`` is the registry
that recipes name them from. Changes of size belong to the cutting of a sample, see :mod:`quadfollow_training.batches`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from quadfollow_core.codec import decode_image, encode_jpeg
from quadfollow_core.errors import BadInput

Image = NDArray[np.uint8]
Mask = NDArray[np.uint8]
Step = Callable[[Image, Mask, Generator], tuple[Image, Mask]]

STEPS: dict[str, Step] = {}
LEVELS = np.arange(256.0)[:, None]


def step(function: Step) -> Step:
    """Register an augmentation step under its function's name."""
    STEPS[function.__name__] = function
    return function


def compose(names: Iterable[str]) -> Step:
    """Chain registered steps in the order given.

    Raises:
        BadInput: a name that is not registered.
    """
    chosen = [_lookup(name) for name in names]

    def chain(image: Image, mask: Mask, rng: Generator) -> tuple[Image, Mask]:
        for function in chosen:
            image, mask = function(image, mask, rng)
        return image, mask

    return chain


def _lookup(name: str) -> Step:
    if name not in STEPS:
        raise BadInput(f"no augmentation named {name!r}: there are {', '.join(sorted(STEPS))}")
    return STEPS[name]


@step
def flip(image: Image, mask: Mask, rng: Generator) -> tuple[Image, Mask]:
    """Mirror left and right, every second time."""
    if rng.random() < 0.5:
        return image, mask
    return image[:, ::-1], mask[:, ::-1]


@step
def brightness(image: Image, mask: Mask, rng: Generator) -> tuple[Image, Mask]:
    """Shift all values by up to 30 of 255."""
    return _map(image, LEVELS + rng.uniform(-30, 30)), mask


@step
def contrast(image: Image, mask: Mask, rng: Generator) -> tuple[Image, Mask]:
    """Stretch or squeeze the values around the picture's mean by up to a quarter."""
    mean = sum(cv2.mean(image)[:3]) / 3
    return _map(image, (LEVELS - mean) * rng.uniform(0.75, 1.25) + mean), mask


@step
def tint(image: Image, mask: Mask, rng: Generator) -> tuple[Image, Mask]:
    """Scale the colour channels apart by up to 8 %, as another light would; red stays red."""
    return _map(image, LEVELS * rng.uniform(0.92, 1.08, 3)), mask


@step
def saturation(image: Image, mask: Mask, rng: Generator) -> tuple[Image, Mask]:
    """Pull the colours up to 30 % towards grey or away from it."""
    strength = rng.uniform(0.7, 1.3)
    mixing = np.full((3, 3), (1 - strength) / 3) + strength * np.eye(3)
    return np.asarray(cv2.transform(image, mixing), dtype=np.uint8), mask


@step
def jpeg(image: Image, mask: Mask, rng: Generator) -> tuple[Image, Mask]:
    """Compress once more at quality 40 to 90, one time in four."""
    if rng.random() >= 0.25:
        return image, mask
    return decode_image(encode_jpeg(image, int(rng.integers(40, 91)))), mask


@step
def blur(image: Image, mask: Mask, rng: Generator) -> tuple[Image, Mask]:
    """Blur slightly (Gaussian, up to 1 px), one time in five."""
    if rng.random() >= 0.2:
        return image, mask
    return np.asarray(cv2.GaussianBlur(image, (5, 5), rng.uniform(0.3, 1.0)), dtype=np.uint8), mask


def _map(image: Image, levels: NDArray[np.float64]) -> Image:
    """Replace each value by what the table of ``[256, 1 or 3]`` levels says."""
    table = np.broadcast_to(np.clip(levels, 0, 255).astype(np.uint8), (256, 3))
    return np.asarray(cv2.LUT(image, np.ascontiguousarray(table).reshape(1, 256, 3)), dtype=np.uint8)
