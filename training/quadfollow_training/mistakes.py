"""Where a network that is there already goes wrong on the training frames, so that the next one sees more of that.

Only what costs the official score counts: a target seen where there is none, and a target not seen at all.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from quadfollow_core.resize import TARGET, fit_frame, without_bars
from quadfollow_core.scoring import MIN_TARGET_PIXELS, threshold_channels
from quadfollow_training.frames import Frames

Mistakes = dict[int, NDArray[np.float32]]
"""By the frame's index: places ``(v, u)`` in it, each 0 to 1 of its height and width."""

BATCH = 16
"""Frames asked about at once."""
PLACES = 32
"""At most so many places are kept of a frame."""
MARGIN = np.ones((7, 7), dtype=np.uint8)
"""Pixels this close to a true target are its edge, not a mistake."""


def find_mistakes(
    predict: Callable[[NDArray[np.uint8]], NDArray[np.uint8]], size: tuple[int, int], frames: Frames
) -> Mistakes:
    """Ask a network about every frame and keep where it is wrong about the target.

    Args:
        predict: uint8 ``[N, H, W, 3]`` RGB to uint8 channels ``[N, H, W, 3]``.
        size: ``(width, height)`` it takes.
        frames: the frames to try.
    """
    rng = np.random.default_rng(0)
    mistakes: Mistakes = {}
    for start in range(0, len(frames), BATCH):
        samples = [frames.read(index) for index in range(start, min(start + BATCH, len(frames)))]
        answers = threshold_channels(predict(np.stack([fit_frame(image, size)[0] for image, _ in samples])))
        for index, (image, mask), answer in zip(itertools.count(start), samples, answers, strict=False):
            found = without_bars(answer, image.shape, size)[..., TARGET].astype(np.uint8)
            if found.shape != mask.shape:
                found = cv2.resize(found, (mask.shape[1], mask.shape[0]), interpolation=cv2.INTER_NEAREST)
            places = wrong_places(mask == TARGET, found.astype(bool))
            if len(places):
                kept = rng.choice(places, min(PLACES, len(places)), replace=False)
                mistakes[index] = ((kept + 0.5) / mask.shape).astype(np.float32)
    return mistakes


def wrong_places(target: NDArray[np.bool_], found: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Pixels ``(v, u)`` of false targets, or of the target where none of it was found; both masks are ``(H, W)``."""
    if target.sum() > MIN_TARGET_PIXELS and found.sum() <= MIN_TARGET_PIXELS:
        return np.argwhere(target)
    false = found & (cv2.dilate(target.astype(np.uint8), MARGIN) == 0)
    return np.argwhere(false) if false.sum() > MIN_TARGET_PIXELS else np.empty((0, 2), dtype=np.intp)
