"""How far the place a network gives the target is from the true one, whether it marks pixels or cannot."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quadfollow_core.resize import TARGET, without_bars
from quadfollow_core.scoring import MIN_TARGET_PIXELS, threshold_channels, to_levels
from quadfollow_training.frames import Frames
from quadfollow_training.holdout import NEAR_PIXELS, Probabilities

CLOSE = 0.04
"""A place within this part of the frame's width counts as right: 10 pixels of QuadSim's 256."""

Place = tuple[float, float] | None
"""``(u, v)`` as parts of the frame's width and height, or None for no target."""


@dataclass(slots=True)
class PlaceRecorder:
    """Predicts like the network it wraps and keeps the place of the target in each of the frames, in their order."""

    predict: Probabilities
    frames: Frames
    size: tuple[int, int]
    places: list[Place] = field(default_factory=list)

    def __call__(self, images: NDArray[np.uint8]) -> Any:
        """Predict the next batch."""
        probabilities = self.predict(images)
        real = threshold_channels(to_levels(probabilities))[: len(self.frames) - len(self.places)]  # the rest fills up
        for channels in real:
            width, height = self.frames.facts[len(self.places)].size
            inner = without_bars(channels, (height, width, 3), self.size)
            self.places.append(place_of(inner[..., TARGET]))
        return probabilities


def place_of(mask: NDArray[np.bool_]) -> Place:
    """The middle of the marked pixels of a ``(H, W)`` mask; None where too few are marked to count as a target."""
    rows, columns = np.nonzero(mask)
    if len(rows) <= MIN_TARGET_PIXELS:
        return None
    height, width = mask.shape
    return float(columns.mean() + 0.5) / width, float(rows.mean() + 0.5) / height


def true_places(frames: Frames) -> list[Place]:
    """Where the target is in each frame, from the labels."""
    return [place_of(frames.read(index)[1] == TARGET) for index in range(len(frames))]


def compare(true: Iterable[Place], said: Iterable[Place], target_pixels: Iterable[int]) -> dict[str, Any]:
    """Compare places frame by frame.

    Args:
        true: the labels' places.
        said: the network's; None is a miss, as far away as can be.
        target_pixels: the target's size per frame, to tell near from far.

    Returns:
        Median distance over the frames with a target in parts of the frame's width (None where most are missed), and
        the shares of near and of far targets whose place is right within ``CLOSE``.
    """
    rows = [(distance(one, other), pixels) for one, other, pixels in zip(true, said, target_pixels, strict=True) if one]
    distances = np.array([row[0] for row in rows])
    near = np.array([pixels >= NEAR_PIXELS for _, pixels in rows], dtype=bool)
    median = float(np.median(distances)) if rows else np.inf
    return {
        "frames": len(rows),
        "median_distance": median if np.isfinite(median) else None,
        "near_within": _share(distances[near]),
        "far_within": _share(distances[~near]),
    }


def distance(one: Place, other: Place) -> float:
    """Distance of two places in parts of the frame's width; infinite where one is missing."""
    if one is None or other is None:
        return np.inf
    return float(np.hypot(one[0] - other[0], one[1] - other[1]))


def _share(distances: NDArray[np.float64]) -> float | None:
    return float((distances <= CLOSE).mean()) if distances.size else None


def same_place(true: list[Place]) -> list[Place]:
    """Negative control: the mean of the true places, said for every frame."""
    mean = np.mean([place for place in true if place is not None], axis=0)
    return [(float(mean[0]), float(mean[1]))] * len(true)
