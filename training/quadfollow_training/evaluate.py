"""The official score of a model, its parts, and a sheet of the frames it does worst on.

Any other labelled set gets the same parts, without the final number that only the official sets have.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quadfollow_core.errors import BadDataset
from quadfollow_core.resize import TARGET, fit_channels
from quadfollow_core.scoring import (
    MIN_TARGET_PIXELS,
    SETS,
    THRESHOLD,
    SetScore,
    combine,
    read_picture,
)
from quadfollow_core.scoring_sets import Files, answers, find_official, find_sets
from quadfollow_training.layout import pair_processed
from quadfollow_training.predictors import Predictor, open_predictor

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


def evaluate(
    model: Path,
    data: Path | Sequence[Path],
    out: Path | None = None,
    size: tuple[int, int] | None = None,
    worst: int = SHEET_FRAMES,
) -> dict[str, Any]:
    """Score a model on the official evaluation sets, or on labelled sets in their layout.

    Args:
        model: a ``.keras`` or ``.onnx`` file, or a run's folder.
        data: the folder of the three official sets, or one that holds ``sample_evaluation_data``; else a labelled set
            (``images/`` and ``masks/``) or a folder of such. Of several folders the first with official sets counts.
        out: where ``evaluation.json`` and ``worst.png`` go; by default the run's folder, and nowhere without one.
        size: ``(width, height)`` for a model that takes any size.
        worst: how many frames ``worst.png`` shows.

    Raises:
        BadDataset: a set is missing or damaged.
        BadModel: not a model.
    """
    predictor = open_predictor(model, size)
    started = time.monotonic()
    sets, verdicts = score_sets(predictor, find_pairs(*([data] if isinstance(data, Path) else data)))
    official = sets.keys() >= set(SETS)
    result = {
        "model": str(model),
        "input_size": list(predictor.size),
        "threshold": THRESHOLD,
        "channels": predictor.note,
        "seconds": round(time.monotonic() - started, 1),
    } | (combine(sets).as_dict() if official else {"sets": {name: part.as_dict() for name, part in sets.items()}})
    folder = out or run_folder(model)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "evaluation.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        shown = sorted((one for one in verdicts if one.truth or one.found), key=lambda one: one.rank)[:worst]
        _draw(predictor, shown, folder / "worst.png")
    return result


def find_pairs(*data: Path) -> dict[str, Files]:
    """Find the images and masks to score on, by set: the three official sets, else labelled ones, at or below ``data``.

    Labelled sets of one name count as one.

    Raises:
        BadDataset: there are none, or files without a partner.
    """
    if (official := find_official(data)) is not None:
        return official
    folders = find_sets(data)
    if not folders:
        places = ", ".join(map(str, data))
        raise BadDataset(f"nothing to evaluate on in {places}: it needs {', '.join(SETS)}, or images/ and masks/")
    pairs: dict[str, Files] = {}
    for folder in folders:
        pairs.setdefault(folder.name, []).extend(_labelled(folder))
    return pairs


def _labelled(folder: Path) -> Files:
    frames, problems = pair_processed(folder)
    if problems or not frames:
        raise BadDataset(f"{folder} cannot be scored on", problems or ["it holds no frames"])
    return [(frame.image, frame.labels[0]) for frame in frames]


def run_folder(model: Path) -> Path | None:
    """The folder of the run a model belongs to, or None for a model on its own."""
    folder = model if model.is_dir() else model.parent
    return folder if (folder / "config.json").exists() else None


def score_sets(predictor: Predictor, pairs: dict[str, Files]) -> tuple[dict[str, SetScore], list[Verdict]]:
    """Predict and score sets of (image, mask) files; return each set's score and a verdict per frame."""
    sets = {name: SetScore() for name in pairs}
    verdicts = []
    for name, files in pairs.items():
        for answer in answers(predictor, files, predictor.size):
            iou = sets[name].add(answer.truth, answer.prediction)
            fitted = fit_channels(answer.truth, (answer.prediction.shape[1], answer.prediction.shape[0]))
            verdicts.append(Verdict(answer.image, answer.mask, _targets(fitted), _targets(answer.prediction), iou))
    return sets, verdicts


def _targets(channels: NDArray[np.bool_]) -> int:
    return int(channels[:, :, TARGET].sum())


def _draw(predictor: Predictor, worst: list[Verdict], path: Path) -> None:
    from quadfollow_training.sheet import Row, draw_sheet

    shown = answers(predictor, [(verdict.image, verdict.mask) for verdict in worst], predictor.size)
    rows = [
        Row(read_picture(one.image), one.truth, one.prediction, f"{_name(one.image)}  {_words(verdict)}")
        for verdict, one in zip(worst, shown, strict=True)
    ]
    draw_sheet(rows, path)


def _name(image: Path) -> str:
    return f"{image.parent.parent.name}/{image.name}"


def _words(verdict: Verdict) -> str:
    if not verdict.wrong:
        return f"IoU {verdict.iou:.2f}"
    return f"missed {verdict.truth} px" if verdict.truth > verdict.found else f"false target of {verdict.found} px"
