"""The official score of a model that answers probabilities, Keras or ONNX alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from quadfollow_core.resize import fit_frame, without_bars
from quadfollow_core.scoring import (
    SETS,
    Score,
    SetScore,
    combine,
    pair_files,
    read_channels,
    read_picture,
    threshold_channels,
)
from quadfollow_export.parity import to_levels
from quadfollow_export.session import BATCH, Predictor


def official_scores(
    predictors: dict[str, Predictor],
    folder: Path,
    size: tuple[int, int],
    progress: Callable[[str], None] = lambda _: None,
) -> dict[str, Score]:
    """Score several models over the three official sets below ``folder``, each frame decoded once.

    Raises:
        BadDataset: a set is missing, unpaired or unreadable.
    """
    scores: dict[str, dict[str, SetScore]] = {name: {} for name in predictors}
    for part in SETS:
        progress(part)
        pairs = pair_files(folder / part / "images", folder / part / "masks")
        for parts in scores.values():
            parts[part] = SetScore()
        for start in range(0, len(pairs), BATCH):
            batch = pairs[start : start + BATCH]
            frames = [read_picture(image) for image, _ in batch]
            images = np.stack([fit_frame(frame, size)[0] for frame in frames])
            truths = [read_channels(mask) for _, mask in batch]
            for name, predict in predictors.items():
                predictions = threshold_channels(to_levels(predict(images)[0]))
                for truth, frame, prediction in zip(truths, frames, predictions, strict=True):
                    scores[name][part].add(truth, without_bars(prediction, frame.shape, size))
    return {name: combine(parts) for name, parts in scores.items()}
