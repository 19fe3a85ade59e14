"""The official score of a model that answers probabilities, Keras or ONNX alike."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quadfollow_core.errors import BadDataset
from quadfollow_core.scoring import SETS, Score, SetScore, combine, score_pairs, to_levels
from quadfollow_core.scoring_sets import answers, find_official
from quadfollow_export.session import Predictor


def official_scores(
    predictors: dict[str, Predictor],
    folder: Path,
    size: tuple[int, int],
    progress: Callable[[str], None] = lambda _: None,
) -> dict[str, Score]:
    """Score several models on the three official sets in ``folder``, or in the ``sample_evaluation_data`` there.

    Raises:
        BadDataset: a set is missing, unpaired or unreadable.
    """
    official = find_official([folder])
    if official is None:
        raise BadDataset(f"no official evaluation sets in {folder}: there must be {', '.join(SETS)}")
    sets: dict[str, dict[str, SetScore]] = {name: {} for name in predictors}
    for part, files in official.items():
        progress(part)
        for name, predict in predictors.items():
            shown = answers(partial(_levels, predict), files, size)
            sets[name][part] = score_pairs((one.truth, one.prediction) for one in shown)
    return {name: combine(parts) for name, parts in sets.items()}


def _levels(predict: Predictor, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return to_levels(predict(images)[0])
