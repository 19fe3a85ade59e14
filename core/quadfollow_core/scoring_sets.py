"""Scoring a model: the labelled sets there are, and what it answers to each of their frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quadfollow_core.errors import BadDataset
from quadfollow_core.resize import fit_frame, without_bars
from quadfollow_core.scoring import EVALUATION, SETS, pair_files, read_channels, read_picture, threshold_channels

FLOAT_OUTPUT = "probabilities"
"""What an ONNX model made for checks answers: float32 ``[N, H, W, 3]``, the probability of each class."""
BATCH = 8
Files = list[tuple[Path, Path]]
"""A set's frames: image and mask of each."""
Levels = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
"""Answers frames ``[N, H, W, 3]`` at a model's size with floor(255·p) of each class, uint8 ``[N, H, W, 3]``."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A frame's files and its ``(H, W, 3)`` channels: the true ones at the mask's size, the predicted at the model's.

    What was predicted in the bars beside a letterboxed frame is cut off.
    """

    image: Path
    mask: Path
    truth: NDArray[np.bool_]
    prediction: NDArray[np.bool_]


def answers(predict: Levels, files: Files, size: tuple[int, int]) -> Iterator[Answer]:
    """Ask a model of ``size`` = ``(width, height)`` about each frame of a set, a few in memory at a time.

    Raises:
        BadDataset: a picture that cannot be decoded; the message names it.
    """
    for start in range(0, len(files), BATCH):
        batch = files[start : start + BATCH]
        frames = [read_picture(image) for image, _ in batch]
        predictions = threshold_channels(predict(np.stack([fit_frame(frame, size)[0] for frame in frames])))
        for (image, mask), frame, prediction in zip(batch, frames, predictions, strict=True):
            yield Answer(image, mask, read_channels(mask), without_bars(prediction, frame.shape, size))


def find_official(roots: Sequence[Path]) -> dict[str, Files] | None:
    """Pair the files of the three official sets in the first of ``roots`` that is their folder, or holds it.

    Raises:
        BadDataset: one of the three is missing, or files without a partner.
    """
    for folder in (place for root in roots for place in (root, root / EVALUATION)):
        missing = [name for name in SETS if not (folder / name).is_dir()]
        if 0 < len(missing) < len(SETS):
            raise BadDataset(f"{folder} lacks {', '.join(missing)} of the official sets")
        if not missing:
            return {name: pair_files(folder / name / "images", folder / name / "masks") for name in SETS}
    return None


def find_sets(roots: Sequence[Path]) -> list[Path]:
    """List the labelled sets at or one level below ``roots``."""
    return [folder for root in roots for folder in (root, *sorted(root.glob("*"))) if is_processed(folder)]


def is_processed(folder: Path) -> bool:
    """Tell whether ``folder`` is a set in QuadSim's processed layout: ``images/`` beside ``masks/``."""
    return (folder / "images").is_dir() and (folder / "masks").is_dir()
