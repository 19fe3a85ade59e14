"""Recorded pictures as a world: folders of frames, with their masks where there are some.

Three layouts are taken: ``images/`` beside an optional ``masks/`` (QuadSim's processed layout), a plain folder of
pictures, and a folder with several of either below it. Image and mask pair by the order of their names, as the
recordings' own rule says, unless the names say otherwise. Every file is read once before the first frame goes out, so
a faulty one is named then and not mid-stream.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quadfollow_core.codec import decode_image
from quadfollow_core.errors import BadDataset, BadInput, QuadfollowError
from quadfollow_core.resize import classes_from_channels
from quadfollow_core.scoring import NAME_MARK, pair_key, threshold_channels
from quadfollow_sim.world import Observation

SUFFIXES = frozenset({".jpeg", ".jpg", ".png", ".webp"})
IMAGES, MASKS = "images", "masks"
RATE = 20.0
"""Frames per second when nothing else is said."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """One recorded frame: its name below the folder, its picture and its mask, if it has one."""

    name: str
    image: Path
    mask: Path | None = None


class ReplaySource:
    """A folder of recordings as a world that goes by at ``rate``; with ``loop`` it starts over at its end.

    Raises:
        BadDataset: nothing to show, or files that are unpaired or unreadable; ``problems`` names all of them.
    """

    def __init__(
        self,
        folder: Path,
        *,
        rate: float = RATE,
        loop: bool = False,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        if not rate > 0:
            raise BadInput(f"rate must be above zero, got {rate}")
        self._rate = rate
        self.frames = find_frames(folder)
        check_frames(self.frames, progress)
        self._order: Iterator[Recorded] = itertools.cycle(self.frames) if loop else iter(self.frames)

    @property
    def rate(self) -> float:
        """Frames per second."""
        return self._rate

    def read(self, skip: int = 0) -> Observation | None:
        """Read the next frame after ``skip`` others; None at the end."""
        frame = next(itertools.islice(self._order, skip, None), None)
        if frame is None:
            return None
        image = frame.image.read_bytes()
        truth = None if frame.mask is None else read_mask(frame.mask)
        return Observation(image, frame.name, time.monotonic(), truth=truth)

    def close(self) -> None:
        """Nothing to give back."""


def find_frames(folder: Path) -> list[Recorded]:
    """List a folder's frames in the order they are shown, set after set, without opening them.

    Raises:
        BadDataset: no frames, or images and masks that do not pair.
    """
    if not folder.is_dir():
        raise BadDataset(f"no folder {folder}")
    sets = [folder] if _is_set(folder) else [path for path in sorted(folder.iterdir()) if _is_set(path)]
    if not sets:
        raise BadDataset(
            f"no pictures in {folder}: give a folder with {IMAGES}/ (and {MASKS}/), a folder of pictures "
            f"({', '.join(sorted(SUFFIXES))}), or one that holds several of these"
        )
    found = [_pair(one, folder) for one in sets]
    problems = [problem for _, faults in found for problem in faults]
    if problems:
        raise BadDataset(f"{len(problems)} problem(s) in {folder}; mend or remove these files:", problems)
    return [frame for frames, _ in found for frame in frames]


def check_frames(frames: list[Recorded], progress: Callable[[int, int], None] = lambda done, total: None) -> None:
    """Decode every picture and mask once.

    Raises:
        BadDataset: some cannot be read, or are masks of no class; all of them are named.
    """
    problems = []
    for number, frame in enumerate(frames, 1):
        problems += _faults(frame)
        progress(number, len(frames))
    if problems:
        raise BadDataset(f"{len(problems)} unreadable file(s); mend or remove them:", problems)


def read_mask(path: Path) -> NDArray[np.uint8]:
    """Read a mask of three channels (background, person, target, 0 or 255) as ``(H, W)`` classes."""
    return classes_from_channels(threshold_channels(decode_image(path.read_bytes())))


def _faults(frame: Recorded) -> list[str]:
    sizes, problems = [], []
    for path in (frame.image, frame.mask):
        try:
            if path is not None:
                pixels = decode_image(path.read_bytes())
                sizes.append(pixels.shape[:2])
        except (QuadfollowError, OSError) as error:
            problems.append(f"{path}: {error}")
    if frame.mask is not None and not problems:
        problems += _mask_faults(frame.mask, threshold_channels(pixels), sizes)
    return problems


def _mask_faults(path: Path, channels: NDArray[np.bool_], sizes: list[tuple[int, int]]) -> list[str]:
    (height, width), (mask_height, mask_width) = sizes
    if height * mask_width != width * mask_height:
        return [f"{path}: a mask of {mask_width}x{mask_height} does not fit a picture of {width}x{height}"]
    if channels.any(axis=2).mean() < 0.5:
        return [f"{path}: not a mask of three channels: most pixels have neither red, green nor blue set"]
    return []


def _pictures(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and not _hidden(path))


def _hidden(path: Path) -> bool:
    return path.name.startswith(".")


def _is_set(folder: Path) -> bool:
    if not folder.is_dir() or _hidden(folder):
        return False
    return (folder / IMAGES).is_dir() or bool(_pictures(folder))


def _pair(folder: Path, root: Path) -> tuple[list[Recorded], list[str]]:
    """Pair one set's images and masks by the order of what their names share; also say what has no partner."""
    plain = not (folder / IMAGES).is_dir()
    images = _pictures(folder if plain else folder / IMAGES)
    if not images:
        return [], [f"{folder / IMAGES}: no pictures"]
    mask_of: dict[Path, Path] = {}
    if not plain and (folder / MASKS).is_dir():
        both = [sorted(paths, key=pair_key) for paths in (images, _pictures(folder / MASKS))]
        if problems := _unpaired(*both):
            return [], problems
        mask_of = dict(zip(*both, strict=True))
    return [Recorded(image.relative_to(root).as_posix(), image, mask_of.get(image)) for image in images], []


def _unpaired(images: list[Path], masks: list[Path]) -> list[str]:
    """Name what has no partner, or only another frame's, as far as names tell; both lists are in order."""
    keys = [{pair_key(path) for path in paths} for paths in (images, masks)]
    alone = [f"{path}: image without a mask" for path in images if pair_key(path) not in keys[1]]
    alone += [f"{path}: mask without an image" for path in masks if pair_key(path) not in keys[0]]
    if 0 < len(alone) < len(images) + len(masks):
        return alone
    if len(images) != len(masks):
        where = images[0].parent.parent
        return [f"{where}: {len(images)} images but {len(masks)} masks, and their names do not tell which is alone"]
    return [
        f"{image}: the mask in its place, {mask.name}, is another frame's"
        for image, mask in zip(images, masks, strict=True)
        if len({_frame(path) for path in (image, mask)} - {None}) > 1
    ]


def _frame(path: Path) -> str | None:
    """Which frame of its run a file is, where its name tells."""
    _, *frame = NAME_MARK.split(path.stem, maxsplit=1)
    return frame[0] if frame else None
