"""Batches for training, decoded on the fly by worker threads and the same whatever those threads do.

Every batch draws from its own generator, seeded by (seed, epoch, index of the batch). So the order in which workers
finish does not matter, and a resumed run sees exactly what an uninterrupted one would have seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from quadfollow_core.errors import BadDataset, BadInput
from quadfollow_core.resize import (
    PERSON,
    TARGET,
    channels_from_classes,
    classes_from_channels,
    fit_channels,
    fit_frame,
    plan_fit,
)
from quadfollow_training.augment import FRAME_STEPS, compose
from quadfollow_training.frames import Frames, read_frame

Sample = tuple[NDArray[np.uint8], NDArray[np.uint8]]


@dataclass(frozen=True, slots=True)
class Shares:
    """Which share of the samples shows a target, other people, or whatever is in any frame.

    A crop is cut around the target or person it was drawn for.
    """

    target: float = 0.0
    person: float = 0.0
    anywhere: float = 1.0

    def __post_init__(self) -> None:
        if min(self.target, self.person, self.anywhere) < 0 or self.anywhere <= 0:
            raise BadInput(f"shares must not be negative, nor anywhere be nothing: {self}")


class Sampler:
    """Draws one labelled picture: a whole frame at the model's size, or a crop at native resolution."""

    def __init__(self, frames: Frames, shares: Shares, augmentations: tuple[str, ...]) -> None:
        if not len(frames):
            raise BadDataset("no frames to draw from")
        self.frames = frames
        self.on_frame = compose(name for name in augmentations if name in FRAME_STEPS)
        self.on_picture = compose(name for name in augmentations if name not in FRAME_STEPS)
        self.pools: list[tuple[int | None, NDArray[np.intp]]] = [
            (TARGET, np.flatnonzero(frames.target)),
            (PERSON, np.flatnonzero(frames.people)),
            (None, np.arange(len(frames))),
        ]
        weights = (shares.target, shares.person, shares.anywhere)
        present = [weight if pool.size else 0.0 for weight, (_, pool) in zip(weights, self.pools, strict=True)]
        self.chances = np.array(present) / sum(present)

    def draw(self, rng: Generator) -> Sample:
        """Draw one ``(H, W, 3)`` image with its ``(H, W)`` class mask."""
        wanted, pool = self.pools[rng.choice(len(self.pools), p=self.chances)]
        frame = read_frame(self.frames.items[rng.choice(pool)])
        image, mask = self.cut(*self.on_frame(*frame, rng), wanted, rng)
        return self.on_picture(image, mask, rng)

    def cut(self, image: NDArray[np.uint8], mask: NDArray[np.uint8], wanted: int | None, rng: Generator) -> Sample:
        """Bring a frame to the sample's size, with the class it was drawn for in the picture."""
        raise NotImplementedError


class WholeFrames(Sampler):
    """Whole frames brought to ``size`` = ``(width, height)``."""

    def __init__(
        self, frames: Frames, size: tuple[int, int], shares: Shares, augmentations: tuple[str, ...] = ()
    ) -> None:
        super().__init__(frames, shares, augmentations)
        self.size = size

    def cut(self, image: NDArray[np.uint8], mask: NDArray[np.uint8], wanted: int | None, rng: Generator) -> Sample:
        """Fit the frame."""
        return fit_sample(image, mask, self.size)


class Crops(Sampler):
    """Square crops of ``side`` pixels at native resolution."""

    def __init__(self, frames: Frames, side: int, shares: Shares, augmentations: tuple[str, ...] = ()) -> None:
        super().__init__(frames, shares, augmentations)
        self.side = side

    def cut(self, image: NDArray[np.uint8], mask: NDArray[np.uint8], wanted: int | None, rng: Generator) -> Sample:
        """Cut a window with a random pixel of the wanted class at a random place in it."""
        left, top = self._corner(mask, wanted, rng)
        window = np.s_[top : top + self.side, left : left + self.side]
        return _pad(image[window], mask[window], self.side)

    def _corner(self, mask: NDArray[np.uint8], wanted: int | None, rng: Generator) -> tuple[int, int]:
        room = np.maximum(np.array(mask.shape) - self.side, 0)
        places = np.flatnonzero(mask == wanted) if wanted is not None else np.empty(0, dtype=np.intp)
        if not places.size:
            top, left = rng.integers(0, room + 1)
            return int(left), int(top)
        pixel = np.array(np.unravel_index(rng.choice(places), mask.shape))
        top, left = np.clip(pixel - rng.integers(0, self.side, 2), 0, room)
        return int(left), int(top)


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """One epoch of ``steps`` batches: uint8 images ``[N, H, W, 3]`` and uint8 class masks ``[N, H, W]``."""

    def __init__(self, sampler: Sampler, *, batch: int, steps: int, seed: int, epoch: int, workers: int) -> None:
        super().__init__(workers=workers, max_queue_size=2 * workers)
        self.sampler, self.batch, self.steps, self.seed, self.epoch = sampler, batch, steps, seed, epoch

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, index: int) -> Sample:
        rng = np.random.default_rng([self.seed, self.epoch, index])
        samples = [self.sampler.draw(rng) for _ in range(self.batch)]
        images, masks = zip(*samples, strict=True)
        return np.stack(images), np.stack(masks)


def fit_sample(image: NDArray[np.uint8], mask: NDArray[np.uint8], size: tuple[int, int]) -> Sample:
    """Bring an image and its class mask to ``(width, height)``: as a frame is fitted, as the scorer resizes masks."""
    fitted, _ = fit_frame(image, size)
    _, (left, top, width, height) = plan_fit((image.shape[1], image.shape[0]), size)
    inner = classes_from_channels(fit_channels(channels_from_classes(mask), (width, height)))
    classes = np.zeros((size[1], size[0]), dtype=np.uint8)
    classes[top : top + height, left : left + width] = inner
    return fitted, classes


def _pad(image: NDArray[np.uint8], mask: NDArray[np.uint8], side: int) -> Sample:
    """Fill a crop of a frame smaller than the crop with black background, at the bottom right."""
    down, right = side - mask.shape[0], side - mask.shape[1]
    if not down and not right:
        return image, mask
    return np.pad(image, ((0, down), (0, right), (0, 0))), np.pad(mask, ((0, down), (0, right)))
