"""The official score of a model, its parts, and a sheet of the frames it does worst on."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quadfollow_core.errors import BadDataset
from quadfollow_core.resize import TARGET, fit_channels, fit_frame, without_bars
from quadfollow_core.scoring import (
    MIN_TARGET_PIXELS,
    SETS,
    THRESHOLD,
    Score,
    SetScore,
    combine,
    pair_files,
    read_channels,
    read_picture,
    threshold_channels,
)
from quadfollow_training.layout import EVALUATION
from quadfollow_training.predictors import Predictor, open_predictor

BATCH = 8
SHEET_FRAMES = 24


@dataclass(frozen=True, slots=True)
class Verdict:
    """How one frame went: target pixels in truth and prediction at the prediction's size, and the target's IoU."""

    image: Path
    mask: Path
    truth: int
    found: int
    iou: float

    @property
    def wrong(self) -> bool:
        """A target missed, or one seen where there is none."""
        return (self.truth > MIN_TARGET_PIXELS) != (self.found > MIN_TARGET_PIXELS)

    @property
    def rank(self) -> tuple[bool, float]:
        """Sorts the worst first: misses and false targets by size, then overlaps from the poorest."""
        return (not self.wrong, -max(self.truth, self.found) if self.wrong else self.iou)


def evaluate(model: Path, data: Path, out: Path | None = None, size: tuple[int, int] | None = None) -> dict[str, Any]:
    """Score a model on the official evaluation sets.

    Args:
        model: a ``.keras`` or ``.onnx`` file, or a run's folder.
        data: the folder of the three sets, or one that holds ``sample_evaluation_data``.
        out: where ``evaluation.json`` and ``worst.png`` go; by default the run's folder, and nowhere without one.
        size: ``(width, height)`` for a model that takes any size.

    Raises:
        BadDataset: a set is missing or damaged.
        BadModel: not a model.
    """
    predictor = open_predictor(model, size)
    started = time.monotonic()
    score, verdicts = score_model(predictor, find_evaluation(data))
    result = {
        "model": str(model),
        "input_size": list(predictor.size),
        "threshold": THRESHOLD,
        "channels": predictor.note,
        "seconds": round(time.monotonic() - started, 1),
    } | score.as_dict()
    folder = out or run_folder(model)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "evaluation.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        _draw(predictor, verdicts, folder / "worst.png")
    return result


def find_evaluation(data: Path) -> Path:
    """Find the folder of the three official sets at or just below ``data``.

    Raises:
        BadDataset: it is not there.
    """
    for folder in (data, data / EVALUATION):
        if all((folder / name).is_dir() for name in SETS):
            return folder
    raise BadDataset(f"no evaluation data in {data}: it needs the folders {', '.join(SETS)}")


def run_folder(model: Path) -> Path | None:
    """The folder of the run a model belongs to, or None for a model on its own."""
    folder = model if model.is_dir() else model.parent
    return folder if (folder / "config.json").exists() else None


def score_model(predictor: Predictor, folder: Path) -> tuple[Score, list[Verdict]]:
    """Predict and score the three sets; return the score and a verdict per frame."""
    sets = {name: SetScore() for name in SETS}
    verdicts = []
    for name in SETS:
        pairs = pair_files(folder / name / "images", folder / name / "masks")
        for image, mask, truth, prediction in _predict(predictor, pairs):
            iou = sets[name].add(truth, prediction)
            fitted = fit_channels(truth, (prediction.shape[1], prediction.shape[0]))
            verdicts.append(Verdict(image, mask, _targets(fitted), _targets(prediction), iou))
    return combine(sets), verdicts


def _predict(
    predictor: Predictor, pairs: list[tuple[Path, Path]]
) -> Iterator[tuple[Path, Path, NDArray[np.bool_], NDArray[np.bool_]]]:
    """Yield each frame's files with its true and predicted channels, a few frames in memory at a time."""
    for start in range(0, len(pairs), BATCH):
        chosen = pairs[start : start + BATCH]
        frames = [read_picture(image) for image, _ in chosen]
        channels = threshold_channels(predictor(np.stack([fit_frame(frame, predictor.size)[0] for frame in frames])))
        for (image, mask), frame, prediction in zip(chosen, frames, channels, strict=True):
            yield image, mask, read_channels(mask), without_bars(prediction, frame.shape, predictor.size)


def _targets(channels: NDArray[np.bool_]) -> int:
    return int(channels[:, :, TARGET].sum())


def _draw(predictor: Predictor, verdicts: list[Verdict], path: Path) -> None:
    from quadfollow_training.sheet import Row, draw_sheet

    worst = sorted((v for v in verdicts if v.truth or v.found), key=lambda v: v.rank)[:SHEET_FRAMES]
    pictures = _predict(predictor, [(verdict.image, verdict.mask) for verdict in worst])
    rows = [
        Row(read_picture(image), truth, prediction, f"{image.parent.parent.name}/{image.name}  {_words(verdict)}")
        for verdict, (image, _, truth, prediction) in zip(worst, pictures, strict=True)
    ]
    draw_sheet(rows, path)


def _words(verdict: Verdict) -> str:
    if not verdict.wrong:
        return f"IoU {verdict.iou:.2f}"
    return f"missed {verdict.truth} px" if verdict.truth > verdict.found else f"false target of {verdict.found} px"
