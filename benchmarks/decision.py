"""What another decision would score: other thresholds, a least size, and how sure of its target a frame must be.

``python benchmarks/decision.py --data DIR`` takes a shipped network's own probabilities on the held-out flights, which
nothing was trained on, and scores them under each rule by the official score's formula; ``--streets`` adds sets of the
city's frames (``quadfollow data render``), in which it counts. A rule that is no better is not taken.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
from measuring import results
from numpy.typing import NDArray

from quadfollow_core.resize import TARGET
from quadfollow_core.scoring import FOLLOWING, PATROL_TARGET, THRESHOLD, to_levels
from quadfollow_core.shipped import DEFAULT_MODEL, find_model

NAME = "decision"
Probabilities = NDArray[np.float32]
Predict = Callable[[NDArray[np.uint8]], Probabilities]


@dataclass(frozen=True, slots=True)
class Rule:
    """Which pixels count as target: those of patches that are large enough, in frames that are sure enough."""

    threshold: int = THRESHOLD
    """Least probability of a pixel, of 255."""
    lead: float = 0.0
    """How far the target's logit must lead the others' somewhere in the frame."""
    area: int = 1
    """Least pixels of a patch, at the model's size."""

    def __call__(self, probabilities: Probabilities) -> Probabilities:
        """Decide on ``(N, H, W, 3)``: the target becomes 1 where the rule sees one, else 0."""
        from quadfollow_export.head import hold_back

        decided = probabilities.copy()
        levels = to_levels(hold_back(probabilities, self.lead))[..., TARGET]
        for frame, seen in zip(decided, levels >= self.threshold, strict=True):
            frame[..., TARGET] = self._large(seen)
        return decided

    def _large(self, seen: NDArray[np.bool_]) -> NDArray[np.bool_]:
        _, labels, stats, _ = cv2.connectedComponentsWithStats(seen.astype(np.uint8), connectivity=8)
        kept = stats[:, cv2.CC_STAT_AREA] >= self.area
        kept[0] = False  # the background
        return np.asarray(kept[labels])


RULES = (
    Rule(),
    *(Rule(threshold) for threshold in (96, 112, 144, 160, 192)),
    *(Rule(lead=lead) for lead in (2, 3, 4, 4.5, 5, 5.5, 6, 6.5, 7, 8)),
    *(Rule(area=area) for area in (4, 8, 16)),
)


class AskedOnce:
    """Asks a model about each batch of frames only once, however many rules decide on its answer."""

    def __init__(self, predict: Predict) -> None:
        self._predict = predict
        self._answers: dict[bytes, Probabilities] = {}

    def __call__(self, images: NDArray[np.uint8]) -> Probabilities:
        """Answer from memory where the batch is known."""
        batch = images.tobytes()
        if batch not in self._answers:
            self._answers[batch] = self._predict(images)
        return self._answers[batch]


def decided(rule: Rule, predict: Predict, images: NDArray[np.uint8]) -> Probabilities:
    """What a model with this rule answers."""
    return rule(predict(images))


def open_network(path: Path) -> tuple[Predict, tuple[int, int]]:
    """A shipped model's probabilities before any rule, and its size ``(width, height)``."""
    from quadfollow_export.graph import read_model
    from quadfollow_export.precision import probabilities_of
    from quadfollow_export.session import open_session

    _, model, contract = read_model(path)
    session = open_session(probabilities_of(model, replace(contract, least_lead=0.0)))
    return (lambda images: np.asarray(session(images)[0])), contract.size


def with_mirrored(predict: Predict) -> Predict:
    """What a network says of a frame and of its mirror image: the mean of both, class by class, of logits."""

    def predict_both(images: NDArray[np.uint8]) -> Probabilities:
        mirrored = predict(np.ascontiguousarray(images[:, :, ::-1]))[:, :, ::-1]
        product = np.sqrt(predict(images) * mirrored)
        return np.asarray(product / product.sum(axis=-1, keepdims=True))

    return predict_both


def table(result: dict[str, Any]) -> str:
    """Lay out the figures."""
    rows = result["figures"]["rules"]
    streets = [f"{word} in streets" for word in ("false", "missed")] if "streets" in rows[0] else []
    head = ["threshold", "lead", "area", "held-out score", "false", "missed", "IoU near", "IoU far", *streets]
    cells = [
        [
            *(str(row["rule"][name]) for name in ("threshold", "lead", "area")),
            results.number(row["final"], 4),
            *(str(row[name]) for name in ("false", "missed")),
            *(results.number(row[name], 3) for name in ("near", "far")),
            *(str(count) for count in row.get("streets", {}).values()),
        ]
        for row in rows
    ]
    return results.table(head, cells)


@click.command()
@click.option("--model", default=DEFAULT_MODEL, show_default=True, help="Shipped model that is asked.")
@click.option("--data", required=True, type=click.Path(exists=True, path_type=Path), help="Folder of QuadSim's sets.")
@click.option(
    "--streets",
    multiple=True,
    type=click.Path(exists=True, path_type=Path),
    help="Labelled frames of the city to count in as well; may be given again.",
)
@click.option("--mirrored", is_flag=True, help="Ask about each frame's mirror image too, at twice the cost.")
@results.out_option
def main(model: str, data: Path, streets: tuple[Path, ...], mirrored: bool, out: Path) -> None:
    """Score every rule."""

    def measure() -> dict[str, Any]:
        from quadfollow_training.frames import open_frames
        from quadfollow_training.holdout import held_out_score
        from quadfollow_training.recipes import HOLD_OUT, REAL

        network, size = open_network(find_model(model))
        asked = AskedOnce(with_mirrored(network) if mirrored else network)
        _, held_out = open_frames([data], REAL).split(HOLD_OUT)
        city = open_frames(streets, None) if streets else None
        rows: list[dict[str, Any]] = []
        for rule in RULES:
            score = held_out_score(partial(decided, rule, asked), held_out, size)
            row = {
                "rule": asdict(rule),
                "final": score.final,
                "false": score.fp,
                "missed": score.fn,
                "near": score.sets[FOLLOWING]["iou_hero"],
                "far": score.sets[PATROL_TARGET]["iou_hero"],
            }
            if city is not None:
                seen = held_out_score(partial(decided, rule, asked), city, size)
                row["streets"] = {"false": seen.fp, "missed": seen.fn}
            rows.append(row)
        return {"frames": len(held_out), "runs": held_out.runs, "streets": len(city) if city else 0, "rules": rows}

    click.echo(table(results.run(f"{NAME}-{Path(model).stem}", out, {"model": model, "mirrored": mirrored}, measure)))


if __name__ == "__main__":
    main()
