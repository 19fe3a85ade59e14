"""The official Follow-Me score, exactly.

Per frame and channel the intersection over union of thresholded masks (0 where the union is empty), averaged over
all frames of a set. A target counts as present, in truth or prediction, above three pixels. Over all sets,
``weight = TP / (TP + FP + FN)``; the final score is ``weight`` times the mean of the target's IoU in
``following_images`` and ``patrol_with_targ``.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quadfollow_core.codec import decode_image
from quadfollow_core.errors import BadDataset, BadInput, LimitExceeded
from quadfollow_core.resize import TARGET, fit_channels

FOLLOWING, PATROL_EMPTY, PATROL_TARGET = "following_images", "patrol_non_targ", "patrol_with_targ"
SETS = (FOLLOWING, PATROL_EMPTY, PATROL_TARGET)
EVALUATION = "sample_evaluation_data"
"""The folder that Udacity published the three sets in."""
THRESHOLD = 128
MIN_TARGET_PIXELS = 3

SIZE_BINS = (4, 10, 20, 40, 80, 160, 320, 10**9)
"""Edges of the target-size classes, in mask pixels at the truth's own size."""


@dataclass(slots=True)
class SetScore:
    """Counts and mean IoU of one evaluation set; ``by_size`` maps a size class to frames, detections, IoU."""

    n: int = 0
    tp: int = 0
    fp: int = 0
    fn: int = 0
    tn: int = 0
    iou_sums: NDArray[np.float64] = field(default_factory=lambda: np.zeros(3))
    by_size: dict[str, list[float]] = field(default_factory=dict)

    def add(self, truth: NDArray[np.bool_], prediction: NDArray[np.bool_]) -> float:
        """Count one frame's ``(H, W, 3)`` truth (any size) and prediction; return the target's IoU."""
        fitted = fit_channels(truth, (prediction.shape[1], prediction.shape[0]))
        ious = intersection_over_union(fitted, prediction)
        present = int(fitted[:, :, TARGET].sum()) > MIN_TARGET_PIXELS
        found = int(prediction[:, :, TARGET].sum()) > MIN_TARGET_PIXELS
        self.n += 1
        self.iou_sums += ious
        self.tp += present and found
        self.fp += found and not present
        self.fn += present and not found
        self.tn += not present and not found
        if present:
            row = self.by_size.setdefault(size_class(int(truth[:, :, TARGET].sum())), [0, 0, 0.0])
            row[0] += 1
            row[1] += found
            row[2] += float(ious[TARGET])
        return float(ious[TARGET])

    @property
    def ious(self) -> NDArray[np.float64]:
        """Mean IoU of background, person and target."""
        return np.asarray(self.iou_sums / max(self.n, 1))

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers under the scorer's own names."""
        background, people, hero = (float(value) for value in self.ious)
        sizes = {
            name: {"frames": int(n), "detected": int(found), "iou": total / n}
            for name, (n, found, total) in sorted(self.by_size.items(), key=lambda item: _lower_edge(item[0]))
        }
        counts = {"n": self.n, "tp": self.tp, "fp": self.fp, "fn": self.fn, "tn": self.tn}
        return counts | {"iou_bg": background, "iou_people": people, "iou_hero": hero, "by_size": sizes}


@dataclass(frozen=True, slots=True)
class Score:
    """The official final score and its parts."""

    final: float
    final_iou: float
    weight: float
    tp: int
    fp: int
    fn: int
    sets: dict[str, dict[str, Any]]

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, ready for JSON."""
        return asdict(self)


def to_levels(probabilities: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """Cut probabilities down to the 256 levels of a picture, floor(255·p), as the official scorer reads them."""
    levels: NDArray[np.uint8] = (np.asarray(probabilities) * np.float32(255)).astype(np.uint8)
    return levels


def threshold_channels(prediction: NDArray[np.uint8], threshold: int = THRESHOLD) -> NDArray[np.bool_]:
    """Threshold ``(H, W, 3)`` probabilities of 0–255, each channel by itself, as the official scorer does."""
    channels: NDArray[np.bool_] = prediction >= threshold
    return channels


def intersection_over_union(truth: NDArray[np.bool_], prediction: NDArray[np.bool_]) -> NDArray[np.float64]:
    """IoU per channel of two ``(H, W, C)`` stacks, 0 where the union is empty."""
    intersection = np.logical_and(truth, prediction).sum(axis=(0, 1))
    union = np.logical_or(truth, prediction).sum(axis=(0, 1))
    ious: NDArray[np.float64] = np.divide(intersection, union, out=np.zeros(truth.shape[2]), where=union > 0)
    return ious


def combine(sets: dict[str, SetScore]) -> Score:
    """Combine the three sets into the final score.

    Raises:
        BadDataset: one of the three official sets is missing.
    """
    missing = [name for name in SETS if name not in sets]
    if missing:
        raise BadDataset(f"the official score needs the sets {', '.join(SETS)}; missing: {', '.join(missing)}")
    tp, fp, fn = (sum(getattr(sets[name], part) for name in SETS) for part in ("tp", "fp", "fn"))
    weight = tp / max(tp + fp + fn, 1)
    final_iou = float(sets[FOLLOWING].ious[TARGET] + sets[PATROL_TARGET].ious[TARGET]) / 2
    return Score(weight * final_iou, final_iou, weight, tp, fp, fn, {name: sets[name].as_dict() for name in SETS})


def size_class(pixels: int) -> str:
    """Name the size class of a target of so many pixels, such as ``20-39`` or ``320+``."""
    for low, high in itertools.pairwise(SIZE_BINS):
        if pixels < high:
            return f"{low}+" if high == SIZE_BINS[-1] else f"{low}-{high - 1}"
    return f"{SIZE_BINS[-2]}+"


def _lower_edge(name: str) -> int:
    return int(name.rstrip("+").split("-")[0])


def read_picture(path: Path) -> NDArray[np.uint8]:
    """Read a data set's picture as ``(H, W, 3)`` uint8 RGB.

    Raises:
        BadDataset: it cannot be decoded; the message names the file.
    """
    try:
        return decode_image(path.read_bytes())
    except (BadInput, LimitExceeded) as error:
        raise BadDataset(f"{path}: {error}") from error


def read_channels(path: Path) -> NDArray[np.bool_]:
    """Read a mask or prediction picture as thresholded ``(H, W, 3)`` channels.

    Raises:
        BadDataset: it cannot be decoded; the message names the file.
    """
    return threshold_channels(read_picture(path))


def score_folders(predictions: Path, truth: Path, progress: Callable[[str], None] = lambda _: None) -> Score:
    """Score a folder of predictions (``<set>/*.png``) against evaluation data (``<set>/masks/*.png``).

    Files pair by sorted order within a set, which is the official rule.

    Raises:
        BadDataset: a set is missing, its counts differ, or a picture is damaged.
    """
    sets = {}
    for name in SETS:
        progress(name)
        pairs = pair_files(predictions / name, truth / name / "masks")
        sets[name] = score_pairs((read_channels(mask), read_channels(guess)) for guess, mask in pairs)
    return combine(sets)


def score_pairs(pairs: Iterable[tuple[NDArray[np.bool_], NDArray[np.bool_]]]) -> SetScore:
    """Score (truth, prediction) pairs of one set."""
    score = SetScore()
    for truth, prediction in pairs:
        score.add(truth, prediction)
    return score


NAME_MARK = re.compile(r"_?(?:cam1|mask)_?")
"""What tells an image's name from its mask's, in QuadSim's processed layout."""


def pair_key(path: Path) -> str:
    """Reduce ``8_run5cam1_00603.jpeg`` and ``8_run5_mask_00603.png`` to what they share."""
    return NAME_MARK.sub("|", path.stem)


def pair_files(first: Path, second: Path) -> list[tuple[Path, Path]]:
    """Pair the pictures of two folders by the order of what their names share, see :func:`pair_key`.

    Hidden files are none: parts of files, or a file manager's.

    Raises:
        BadDataset: a folder is missing or empty, or the counts differ.
    """
    listings = [
        sorted(
            (path for path in folder.glob("*") if path.is_file() and not path.name.startswith(".")),
            key=lambda path: (pair_key(path), path.name),
        )
        for folder in (first, second)
    ]
    for folder, listing in zip((first, second), listings, strict=True):
        if not listing:
            raise BadDataset(f"no files in {folder}")
    if len(listings[0]) != len(listings[1]):
        raise BadDataset(f"{first} has {len(listings[0])} files but {second} has {len(listings[1])}")
    return list(zip(*listings, strict=True))
