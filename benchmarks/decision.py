"""What another decision would score: other thresholds on the target's probability, and a least size for what it shows.

``python benchmarks/decision.py --data DIR`` asks a shipped model about the held-out flights, which nothing was trained
on, and scores its answers under each rule by the official score's formula. A rule that is no better there is not taken.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
from measuring import results
from numpy.typing import NDArray

from quadfollow_core.resize import TARGET
from quadfollow_core.scoring import FOLLOWING, PATROL_TARGET, THRESHOLD
from quadfollow_core.shipped import DEFAULT_MODEL, find_model

NAME = "decision"
Predict = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]


@dataclass(frozen=True, slots=True)
class Rule:
    """Which pixels count as target: those of patches that are sure enough somewhere, and large enough."""

    threshold: int = THRESHOLD
    """Least ``target_probability`` of a pixel, 0 to 255."""
    peak: int = 0
    """Least highest ``target_probability`` within a patch of connected pixels."""
    area: int = 1
    """Least pixels of a patch, at the model's size."""

    def __call__(self, channels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Decide on uint8 ``(N, H, W, 3)`` channels: the target becomes 255 where the rule sees one, else 0."""
        decided = channels.copy()
        for frame in decided:
            frame[..., TARGET] = 255 * self._patches(frame[..., TARGET])
        return decided

    def _patches(self, probability: NDArray[np.uint8]) -> NDArray[np.bool_]:
        seen = (probability >= self.threshold).astype(np.uint8)
        count, labels, stats, _ = cv2.connectedComponentsWithStats(seen, connectivity=8)
        peaks = np.zeros(count, np.uint8)
        np.maximum.at(peaks, labels, probability)
        kept = (peaks >= self.peak) & (stats[:, cv2.CC_STAT_AREA] >= self.area)
        kept[0] = False  # the background
        return np.asarray(kept[labels])


RULES = (
    Rule(),
    *(Rule(threshold) for threshold in (96, 112, 144, 160, 192)),
    *(Rule(peak=peak) for peak in (192, 224, 248)),
    *(Rule(area=area) for area in (4, 8, 16)),
)


class AskedOnce:
    """Asks a model about each batch of frames only once, however many rules decide on its answer."""

    def __init__(self, predict: Predict) -> None:
        self._predict = predict
        self._answers: dict[bytes, NDArray[np.uint8]] = {}

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Answer from memory where the batch is known."""
        batch = images.tobytes()
        if batch not in self._answers:
            self._answers[batch] = self._predict(images)
        return self._answers[batch]


def decided(rule: Rule, predictor: Predict, images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """What a model with this rule answers, as probabilities of 0 or 1."""
    return rule(predictor(images)) / 255


def table(result: dict[str, Any]) -> str:
    """Lay out the figures."""
    head = ["threshold", "peak", "area", "held-out score", "false", "missed", "IoU near", "IoU far"]
    rows = [
        [
            *(str(row["rule"][name]) for name in ("threshold", "peak", "area")),
            results.number(row["final"], 4),
            *(str(row[name]) for name in ("false", "missed")),
            *(results.number(row[name], 3) for name in ("near", "far")),
        ]
        for row in result["figures"]["rules"]
    ]
    return results.table(head, rows)


@click.command()
@click.option("--model", default=DEFAULT_MODEL, show_default=True, help="Shipped model that is asked.")
@click.option("--data", required=True, type=click.Path(exists=True, path_type=Path), help="Folder of QuadSim's sets.")
@results.out_option
def main(model: str, data: Path, out: Path) -> None:
    """Score every rule."""

    def measure() -> dict[str, Any]:
        from quadfollow_training.frames import open_frames
        from quadfollow_training.holdout import held_out_score
        from quadfollow_training.predictors import open_predictor
        from quadfollow_training.recipes import HOLD_OUT, REAL

        predictor = open_predictor(find_model(model))
        asked = AskedOnce(predictor)
        _, held_out = open_frames([data], REAL).split(HOLD_OUT)
        rows = []
        for rule in RULES:
            score = held_out_score(partial(decided, rule, asked), held_out, predictor.size)
            rows.append(
                {
                    "rule": {"threshold": rule.threshold, "peak": rule.peak, "area": rule.area},
                    "final": score.final,
                    "false": score.fp,
                    "missed": score.fn,
                    "near": score.sets[FOLLOWING]["iou_hero"],
                    "far": score.sets[PATROL_TARGET]["iou_hero"],
                }
            )
        return {"frames": len(held_out), "runs": held_out.runs, "rules": rows}

    click.echo(table(results.run(f"{NAME}-{model}", out, {"model": model}, measure)))


if __name__ == "__main__":
    main()
