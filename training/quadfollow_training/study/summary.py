"""From results to numbers: an arm's measures over its seeds, and which differences are more than the seeds'."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

import numpy as np

from quadfollow_core.scoring import FOLLOWING, PATROL_TARGET, SIZE_BINS, size_class
from quadfollow_training.study.arms import ARMS, Arm
from quadfollow_training.study.results import Result


@dataclass(frozen=True, slots=True)
class Summary:
    """An arm and its results, one per seed."""

    arm: Arm
    results: tuple[Result, ...]

    def values(self, pick: Callable[[dict[str, Any]], float]) -> list[float]:
        """A measure of the last pass, seed by seed."""
        return [pick(result["passes"][-1]) for result in self.results]

    @property
    def scores(self) -> list[float]:
        """The held-out scores, seed by seed."""
        return self.values(lambda last: last["score"]["final"])

    @property
    def score(self) -> float:
        """Their mean."""
        return fmean(self.scores)

    @property
    def costs(self) -> dict[str, float]:
        """Parameters, MACs and the least latency of all its measurements."""
        first: dict[str, float] = self.results[0]["costs"]
        return first | {"latency_ms": min(result["costs"]["latency_ms"] for result in self.results)}

    def mean(self, part: str) -> float:
        """Mean of one of the score's own numbers."""
        return fmean(self.values(lambda last: last["score"][part]))

    def mean_iou(self, name: str) -> float:
        """Mean IoU of the target in one of the three stand-ins."""
        return fmean(self.values(lambda last: last["score"]["sets"][name]["iou_hero"]))

    @property
    def near(self) -> float:
        """Mean IoU of near targets."""
        return self.mean_iou(FOLLOWING)

    @property
    def far(self) -> float:
        """Mean IoU of far targets."""
        return self.mean_iou(PATROL_TARGET)

    def by_size(self) -> dict[str, tuple[int, float]]:
        """Per class of target size: frames and mean IoU, over the stand-ins and the seeds."""
        frames: dict[str, int] = {}
        sums: dict[str, float] = {}
        parts = [part for result in self.results for part in result["passes"][-1]["score"]["sets"].values()]
        for size, row in (item for part in parts for item in part["by_size"].items()):
            frames[size] = frames.get(size, 0) + row["frames"]
            sums[size] = sums.get(size, 0.0) + row["frames"] * row["iou"]
        return {size: (count // len(self.results), sums[size] / count) for size, count in frames.items()}


Summaries = dict[str, Summary]
FEW = 6
"""Repeated runs below which the spread is not well known."""


def summarise(found: dict[str, list[Result]]) -> Summaries:
    """Summarise the arms that mark pixels, in the order of the study."""
    return {arm.name: Summary(arm, tuple(found[arm.name])) for arm in ARMS if arm.name in found and not arm.classifier}


def sizes_of(summaries: Summaries) -> list[str]:
    """The classes of target size there are frames of, smallest first."""
    present = {size for summary in summaries.values() for size in summary.by_size()}
    return [size for size in map(size_class, SIZE_BINS[:-1]) if size in present]


def noise_in_words(summaries: Summaries) -> str:
    """How far two arms must lie apart to tell anything."""
    noise = spread(summaries.values())
    if not noise:
        return "No arm has several seeds yet, so nothing is known of what the seed alone changes."
    repeats = sum(len(summary.results) - 1 for summary in summaries.values())
    few = (
        " From so few it is a guess itself, and so is what it makes of the differences below." if repeats < FEW else ""
    )
    return (
        f"Estimated from the {repeats} run(s) that repeat another with a new seed it is {noise:.3f}. Two arms of one\n"
        f"seed each must lie {2 * 2**0.5 * noise:.3f} apart before that tells anything, two of three seeds each "
        f"{2 * (2 / 3) ** 0.5 * noise:.3f}.{few}"
    )


def spread(summaries: Iterable[Summary]) -> float:
    """What the seed alone changes: standard deviation of the score, pooled over the arms with several seeds."""
    several = [summary.scores for summary in summaries if len(summary.results) > 1]
    freedom = sum(len(scores) - 1 for scores in several)
    return float(np.sqrt(sum(stdev(scores) ** 2 * (len(scores) - 1) for scores in several) / freedom)) if freedom else 0


def verdict(summary: Summary, other: Summary, noise: float) -> str:
    """Compare two arms' scores in words, against the standard error of their difference."""
    difference = summary.score - other.score
    error = noise * (1 / len(summary.results) + 1 / len(other.results)) ** 0.5
    size = f"{abs(difference):.3f} {'more' if difference > 0 else 'less'}"
    if not error:
        return f"{size}, from one seed each"
    if abs(difference) < 2 * error:
        return f"{size}, which is within what seeds differ by (± {2 * error:.3f})"
    return f"{size}, beyond what seeds differ by (± {2 * error:.3f})"
