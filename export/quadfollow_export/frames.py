"""The frames a parity check looks at: recorded ones in QuadSim's processed layout, or rendered ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quadfollow_core.errors import NotFound
from quadfollow_core.resize import fit_frame
from quadfollow_core.scoring import EVALUATION, pair_files, read_channels, read_picture
from quadfollow_core.scoring_sets import find_sets
from quadfollow_export.scenes import render_scenes


@dataclass(frozen=True)
class Samples:
    """Frames ``[N, H, W, 3]`` at the model's size, where they come from, and their truth where it is known."""

    images: NDArray[np.uint8]
    origin: str
    truth: tuple[NDArray[np.bool_], ...] = ()
    """Per frame ``(h, w, 3)`` class channels, at the mask's own size."""
    shapes: tuple[tuple[int, ...], ...] = ()
    """Per frame with truth, its shape before it was brought to the model's size."""
    files: tuple[Path, ...] = ()
    """Per recorded frame, its image."""


def rendered(count: int, size: tuple[int, int]) -> Samples:
    """Render frames; there is no truth, for parity needs none."""
    return Samples(render_scenes(count, size), f"{count} rendered frames")


def recorded(folder: Path, count: int, size: tuple[int, int]) -> Samples:
    """Take up to ``count`` frames, evenly spread over every set at or one level below ``folder``.

    Where there is none, the official evaluation sets in it will do.

    Raises:
        NotFound: no set there.
        BadDataset: a set whose images and masks do not pair, or a picture that cannot be decoded.
    """
    sets = find_sets([folder]) or find_sets([folder / EVALUATION])
    if not sets:
        raise NotFound(f"no frames in {folder}: a set is a folder with images/ and masks/ in it")
    pairs = [pair for found in sets for pair in pair_files(found / "images", found / "masks")]
    chosen = [pairs[index] for index in np.unique(np.linspace(0, len(pairs) - 1, count).round().astype(int))]
    frames = [read_picture(image) for image, _ in chosen]
    images = np.stack([fit_frame(frame, size)[0] for frame in frames])
    origin = f"{len(chosen)} frames of {folder.resolve().name}"
    truth = tuple(read_channels(mask) for _, mask in chosen)
    return Samples(images, origin, truth, tuple(frame.shape for frame in frames), tuple(image for image, _ in chosen))
