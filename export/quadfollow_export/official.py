"""The official score of a model that answers probabilities, Keras or ONNX alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from quadfollow_core.scoring import SETS, Score, SetScore, combine, pair_files, threshold_channels
from quadfollow_export.frames import read_image, read_truth
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
            images = np.stack([read_image(image, size) for image, _ in batch])
            truths = [read_truth(mask) for _, mask in batch]
            for name, predict in predictors.items():
                for truth, levels in zip(truths, to_levels(predict(images)[0]), strict=True):
                    scores[name][part].add(truth, threshold_channels(levels))
    return {name: combine(parts) for name, parts in scores.items()}
