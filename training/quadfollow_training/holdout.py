"""The held-out score: the official score's formula, on runs that training never sees.

The held-out frames are sorted into stand-ins for the three official sets by how much target they show. The number
serves to choose between epochs; it is not the official score, whose frames choose nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quadfollow_core.errors import BadInput
from quadfollow_core.resize import channels_from_classes, fit_frame, without_bars
from quadfollow_core.scoring import (
    FOLLOWING,
    MIN_TARGET_PIXELS,
    PATROL_EMPTY,
    PATROL_TARGET,
    SETS,
    Score,
    SetScore,
    combine,
    threshold_channels,
    to_levels,
)
from quadfollow_training.frames import Frames
from quadfollow_training.recipes import HOLD_OUT, Recipe

NEAR_PIXELS = 200
"""From so many target pixels on a frame stands in for ``following_images``, below for ``patrol_with_targ``."""

Probabilities = Callable[[NDArray[np.uint8]], Any]


def split(frames: Frames, recipe: Recipe, *, needed: bool = False) -> tuple[Frames, Frames]:
    """Split into frames to train on and frames of the runs that the recipe holds out.

    The flights that our recipes hold out need not be in somebody's data; runs that were named instead of them must.

    Raises:
        BadInput: a run that was named is not there, nothing is left to train on, or nothing is held out though it is
            ``needed``.
    """
    runs = recipe.hold_out if recipe.hold_out != HOLD_OUT else [run for run in HOLD_OUT if run in frames.runs]
    if needed and not runs:
        raise BadInput(f"none of the runs {', '.join(HOLD_OUT)} is in the data: say which to --hold-out")
    return frames.split(runs)


def stand_in(target_pixels: int) -> str:
    """Name the official set that a held-out frame stands in for."""
    if target_pixels <= MIN_TARGET_PIXELS:
        return PATROL_EMPTY
    return FOLLOWING if target_pixels >= NEAR_PIXELS else PATROL_TARGET


def held_out_score(predict: Probabilities, frames: Frames, size: tuple[int, int], batch: int = 16) -> Score:
    """Score held-out frames.

    Args:
        predict: uint8 ``[N, H, W, 3]`` to probabilities ``[N, H, W, 3]``.
        frames: the held-out frames.
        size: the model's ``(width, height)``.
        batch: frames predicted at once.
    """
    sets = {name: SetScore() for name in SETS}
    for start in range(0, len(frames), batch):
        samples = [frames.read(index) for index in range(start, min(start + batch, len(frames)))]
        inputs = np.stack([fit_frame(image, size)[0] for image, _ in samples])
        full = np.concatenate([inputs, np.repeat(inputs[-1:], batch - len(inputs), axis=0)])  # one shape to compile for
        predictions = to_levels(predict(full))
        for offset, (image, mask) in enumerate(samples):
            found = without_bars(threshold_channels(predictions[offset]), image.shape, size)
            sets[stand_in(int(frames.target[start + offset]))].add(channels_from_classes(mask), found)
    return combine(sets)
