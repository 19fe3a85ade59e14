"""The frames a parity check looks at: recorded ones in QuadSim's processed layout, or rendered ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quadfollow_core.codec import decode_image
from quadfollow_core.errors import BadDataset, BadInput, NotFound
from quadfollow_core.resize import fit_frame
from quadfollow_core.scoring import pair_files, read_channels
from quadfollow_export.scenes import render_scenes


@dataclass(frozen=True)
class Samples:
    """Frames ``[N, H, W, 3]`` at the model's size, where they come from, and their truth where it is known."""

    images: NDArray[np.uint8]
    origin: str
    truth: tuple[NDArray[np.bool_], ...] = ()
    """Per frame ``(h, w, 3)`` class channels, at the mask's own size."""


def rendered(count: int, size: tuple[int, int]) -> Samples:
    """Render frames; there is no truth, for parity needs none."""
    return Samples(render_scenes(count, size), f"{count} rendered frames")


def recorded(folder: Path, count: int, size: tuple[int, int]) -> Samples:
    """Take up to ``count`` frames, evenly spread over every set at or one level below ``folder``.

    Raises:
        NotFound: no set there.
        BadDataset: a set whose images and masks do not pair.
    """
    pairs = [pair for found in find_sets(folder) for pair in pair_files(found / "images", found / "masks")]
    chosen = [pairs[index] for index in np.unique(np.linspace(0, len(pairs) - 1, count).round().astype(int))]
    images = np.stack([read_image(image, size) for image, _ in chosen])
    origin = f"{len(chosen)} frames of {folder.resolve().name}"
    return Samples(images, origin, tuple(read_truth(mask) for _, mask in chosen))


def find_sets(folder: Path) -> list[Path]:
    """List the sets (``images/`` beside ``masks/``) at ``folder`` or one level below it.

    Raises:
        NotFound: there is none.
    """
    candidates = [folder, *sorted(path for path in folder.glob("*") if path.is_dir())]
    found = [path for path in candidates if (path / "images").is_dir() and (path / "masks").is_dir()]
    if not found:
        raise NotFound(f"no frames in {folder}: a set is a folder with images/ and masks/ in it")
    return found


def read_image(path: Path, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Decode a frame and bring it to the model's ``(width, height)``.

    Raises:
        BadDataset: it cannot be decoded.
    """
    with _naming(path):
        return fit_frame(decode_image(path.read_bytes()), size)[0]


def read_truth(path: Path) -> NDArray[np.bool_]:
    """Decode a mask to its ``(h, w, 3)`` class channels.

    Raises:
        BadDataset: it cannot be decoded.
    """
    with _naming(path):
        return read_channels(path)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except BadInput as error:
        raise BadDataset(f"{path}: {error}") from error
