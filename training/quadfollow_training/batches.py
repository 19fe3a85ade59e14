"""Batches for training, decoded on the fly by worker threads and the same whatever those threads do.

Every batch draws from its own generator, seeded by (seed, epoch, index of the batch). So the order in which workers
finish does not matter, and a resumed run sees exactly what an uninterrupted one would have seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

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
from quadfollow_training.augment import compose
from quadfollow_training.frames import Frames
from quadfollow_training.memory import Sample
from quadfollow_training.mistakes import Mistakes
from quadfollow_training.pasting import paste

ROUNDING = 1e-9
"""Shares may sum to so much more or less than 1 and count as 1."""
Aim = int | tuple[float, float] | None
"""What a picture is to show: a class, a place ``(v, u)`` as parts of height and width, or whatever there is."""


@dataclass(frozen=True, slots=True)
class Shares:
    """Which share of the samples shows a target, other people, an earlier network's mistake, or whatever is anywhere.

    A crop is cut around the target, person or mistake it was drawn for.
    """

    target: float = 0.0
    person: float = 0.0
    anywhere: float = 1.0
    mistake: float = 0.0

    def __post_init__(self) -> None:
        if min(self.target, self.person, self.anywhere, self.mistake) < 0 or self.anywhere <= 0:
            raise BadInput(f"shares must not be negative, nor anywhere be nothing: {self}")


@dataclass(frozen=True, slots=True)
class Draw:
    """Which samples are drawn how often.

    ``folders`` gives the share of the samples that comes from the sets of a name; the other sets share the rest, each
    frame alike; where there are others, the shares leave them some. ``mistakes`` are the places that
    :attr:`Shares.mistake` means. ``pasted`` is the share of the samples drawn for a target or person that show it
    pasted into a frame without target of the same sets.
    """

    shares: Shares = field(default_factory=Shares)
    folders: Mapping[str, float] = field(default_factory=dict)
    mistakes: Mistakes = field(default_factory=dict)
    pasted: float = 0.0


class Sampler:
    """Draws one labelled picture: a whole frame at the model's size, or a crop."""

    def __init__(self, frames: Frames, how: Draw, augmentations: tuple[str, ...]) -> None:
        if not len(frames):
            raise BadDataset("no frames to draw from")
        others = sorted({frame.folder for frame in frames.items} - how.folders.keys())
        if others and sum(how.folders.values()) > 1 - ROUNDING:
            raise BadInput(f"folder_shares {dict(how.folders)} leave nothing for the sets {', '.join(others)}")
        self.frames = frames
        self.mistakes = how.mistakes
        self.pasted = how.pasted
        self.hosts = _hosts(frames, how.folders) if how.pasted else []
        self.augment = compose(augmentations)
        self.pools: list[tuple[int | None, NDArray[np.intp]]] = [
            (TARGET, np.flatnonzero(frames.target)),
            (PERSON, np.flatnonzero(frames.people)),
            (None, np.arange(len(frames))),
            (None, np.array(sorted(how.mistakes), dtype=np.intp)),
        ]
        self.odds = [np.cumsum(folder_odds(frames, pool, how.folders)) for _, pool in self.pools]
        shares = how.shares
        weights = (shares.target, shares.person, shares.anywhere, shares.mistake)
        present = [weight if pool.size else 0.0 for weight, (_, pool) in zip(weights, self.pools, strict=True)]
        self.chances = np.cumsum(present) / sum(present)

    def draw(self, rng: Generator) -> Sample:
        """Draw one ``(H, W, 3)`` image with its ``(H, W)`` class mask."""
        number = _pick(self.chances, rng)
        wanted, pool = self.pools[number]
        index = int(pool[_pick(self.odds[number], rng)])
        aim: Aim = wanted
        if number == len(self.pools) - 1:
            v, u = rng.choice(self.mistakes[index])
            aim = (float(v), float(u))
        sample = self.frames.read(index)
        if self.pasted and wanted is not None and rng.random() < self.pasted:
            sample = self._elsewhere(sample, index, wanted, rng)
        return self.augment(*self.cut(*sample, aim, rng), rng)

    def _elsewhere(self, donor: Sample, index: int, wanted: int, rng: Generator) -> Sample:
        """Show what the frame at ``index`` is drawn for in another frame of its size."""
        host = self.frames.read(int(rng.choice(self.hosts[index])))
        return paste(host, donor, wanted, rng) if host[1].shape == donor[1].shape else donor

    def cut(self, image: NDArray[np.uint8], mask: NDArray[np.uint8], aim: Aim, rng: Generator) -> Sample:
        """Bring a frame to the sample's size, with what it was drawn for in the picture."""
        raise NotImplementedError


def _pick(cumulative: NDArray[np.float64], rng: Generator) -> int:
    """Draw an index by its probability, given their cumulative sums."""
    return min(int(np.searchsorted(cumulative, rng.random(), side="right")), len(cumulative) - 1)


def folder_odds(frames: Frames, pool: NDArray[np.intp], folders: Mapping[str, float]) -> NDArray[np.float64]:
    """How probable each frame of a pool is, so that the named folders get their shares of the draws."""
    names = np.array([frames.items[index].folder for index in pool], dtype=object)
    shares = np.array([folders.get(name, 1 - sum(folders.values())) for name in names], dtype=np.float64)
    groups = np.array([name if name in folders else None for name in names], dtype=object)
    for group in set(groups.tolist()):
        members = np.array([other == group for other in groups])
        shares[members] /= members.sum()
    return shares / shares.sum() if len(pool) else shares


def _hosts(frames: Frames, folders: Mapping[str, float]) -> list[NDArray[np.intp]]:
    """For each frame those without a target whose sets are drawn like its own; itself where there are none."""
    groups = np.array([frame.folder if frame.folder in folders else "" for frame in frames.items])
    empty = {group: np.flatnonzero((groups == group) & (frames.target == 0)) for group in set(groups.tolist())}
    return [empty[group] if empty[group].size else np.array([index]) for index, group in enumerate(groups.tolist())]


class WholeFrames(Sampler):
    """Whole frames brought to ``size`` = ``(width, height)``."""

    def __init__(self, frames: Frames, size: tuple[int, int], how: Draw, augmentations: tuple[str, ...] = ()) -> None:
        super().__init__(frames, how, augmentations)
        self.size = size

    def cut(self, image: NDArray[np.uint8], mask: NDArray[np.uint8], aim: Aim, rng: Generator) -> Sample:
        """Fit the frame."""
        return fit_sample(image, mask, self.size)


class Crops(Sampler):
    """Square crops of ``side`` pixels from frames enlarged by a factor, drawn from ``zoom`` evenly on a log scale."""

    def __init__(
        self,
        frames: Frames,
        side: int,
        how: Draw,
        augmentations: tuple[str, ...] = (),
        zoom: tuple[float, float] = (1.0, 1.0),
    ) -> None:
        super().__init__(frames, how, augmentations)
        self.side, self.zoom = side, np.log(zoom)

    def cut(self, image: NDArray[np.uint8], mask: NDArray[np.uint8], aim: Aim, rng: Generator) -> Sample:
        """Cut a window with the place, or a random pixel of the class, at a random place in it."""
        side = max(1, round(self.side / float(np.exp(rng.uniform(*self.zoom)))))
        left, top = _corner(mask, aim, side, rng)
        return _resize(_window(image, left, top, side), _window(mask, left, top, side), self.side)


def _corner(mask: NDArray[np.uint8], aim: Aim, side: int, rng: Generator) -> tuple[int, int]:
    """Place a window of ``side`` pixels in a frame, or around it where the frame is the smaller."""
    room = np.array(mask.shape) - side
    low, high = np.minimum(room, 0), np.maximum(room, 0)
    pixel = _pixel(mask, aim, rng)
    place = rng.integers(low, high + 1) if pixel is None else np.clip(pixel - rng.integers(0, side, 2), low, high)
    top, left = place
    return int(left), int(top)


def _window(picture: NDArray[np.uint8], left: int, top: int, side: int) -> NDArray[np.uint8]:
    """Cut a square window; beyond the picture it is black, which is background in a mask."""
    height, width = picture.shape[:2]
    if min(left, top) >= 0 and left + side <= width and top + side <= height:
        return picture[top : top + side, left : left + side]
    window = np.zeros((side, side, *picture.shape[2:]), dtype=np.uint8)
    u, v = max(left, 0), max(top, 0)
    part = picture[v : top + side, u : left + side]
    window[v - top : v - top + part.shape[0], u - left : u - left + part.shape[1]] = part
    return window


def _resize(image: NDArray[np.uint8], mask: NDArray[np.uint8], side: int) -> Sample:
    """Resize a square sample as a whole frame would be."""
    return fit_frame(image, (side, side))[0], _fit_classes(mask, (side, side))


def _fit_classes(mask: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Bring a class mask to ``(width, height)`` by the scorer's rule, which makes small targets a pixel wider.

    Masks of pixels more than half covered agree with the scorer's no better than 0.78 (IoU) for a target of 20 to 40
    pixels in a frame shrunk to 160 (``benchmarks/masks.py``): a network that learns those cannot score higher.
    """
    return classes_from_channels(fit_channels(channels_from_classes(mask), size))


def _pixel(mask: NDArray[np.uint8], aim: Aim, rng: Generator) -> NDArray[np.intp] | None:
    """The pixel ``(v, u)`` to have in the picture; None where any will do."""
    if isinstance(aim, tuple):
        return (np.array(aim) * mask.shape).astype(np.intp)
    places = np.flatnonzero(mask == aim) if aim is not None else np.empty(0, dtype=np.intp)
    return np.array(np.unravel_index(rng.choice(places), mask.shape)) if places.size else None


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
    classes = np.zeros((size[1], size[0]), dtype=np.uint8)
    classes[top : top + height, left : left + width] = _fit_classes(mask, (width, height))
    return fitted, classes
