"""Hold one answer against the truth: found or not, overlap, pixels and metres off."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quadfollow_core.resize import TARGET, channels_from_classes, fit_channels, plan_fit
from quadfollow_core.scoring import MIN_TARGET_PIXELS, intersection_over_union
from quadfollow_core.stream_client import Fate
from quadfollow_core.types import Target
from quadfollow_sim.answers import frame_size, mask_of, reason_of, times_of
from quadfollow_sim.world import Observation


@dataclass(frozen=True, slots=True)
class Row:
    """One offered frame: when it went out, what became of it, how right the answer was; None is not known."""

    id: int
    name: str
    offered_s: float
    """Seconds since the flight began."""
    lag_ms: float
    """How long after its due time the frame was offered."""
    age_ms: float | None
    """How old the newest answer in hand was at that moment: what a controller would have steered by."""
    outcome: str
    """``result``, ``dropped``, ``error``, ``unsent`` or ``lost``."""
    reason: str | None = None
    latency_ms: float | None = None
    """Capture to answer in hand."""
    held_ms: float | None = None
    """The server's share of it."""
    timings: dict[str, float] = field(default_factory=dict)
    found: bool | None = None
    truth_pixels: int | None = None
    """Pixels of target in the truth mask."""
    iou: float | None = None
    """Overlap of the target's pixels in answer and truth, at the model's size; only where the truth has a target."""
    centroid_error_px: float | None = None
    """In pixels of the frame as sent."""
    position_error_m: float | None = None
    """Distance over ground between the answer's world position and the middle of the target's body."""
    distance_source: str | None = None

    @property
    def present(self) -> bool | None:
        """Whether the truth has a target, by the official rule; None without a truth."""
        return None if self.truth_pixels is None else self.truth_pixels > MIN_TARGET_PIXELS

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)


Witness = Callable[[Row, Observation, Fate], None]
"""Sees every picture whose fate is known, whatever that is, with its row."""


def judge(fate: Fate, observation: Observation, *, offered_s: float, lag_ms: float, age_ms: float | None) -> Row:
    """Make the row of a frame whose fate is known and legible."""
    timing = (round(offered_s, 4), round(lag_ms, 2), None if age_ms is None else round(age_ms, 2))
    truth_pixels = None if observation.truth is None else int((observation.truth == TARGET).sum())
    row = Row(fate.id, observation.name, *timing, fate.outcome, reason_of(fate), truth_pixels=truth_pixels)
    sighting = fate.sighting
    if sighting is None:
        return row
    held_ms, timings = times_of(fate)
    latency_ms, found = round(1000 * fate.age, 2), sighting.target is not None
    row = replace(row, latency_ms=latency_ms, held_ms=held_ms, timings=timings, found=found)
    return replace(row, **_errors(fate, observation, sighting.target)) if row.present else row


def _errors(fate: Fate, observation: Observation, target: Target | None) -> dict[str, Any]:
    """What can be measured on a frame that has a target, found or not."""
    truth, size, mask = observation.truth, frame_size(fate), mask_of(fate)
    errors: dict[str, Any] = {}
    if truth is None:
        return errors
    if mask is not None:
        errors["iou"] = round(target_iou(truth, mask[0], size), 4)
    if target is not None:
        errors["centroid_error_px"] = round(math.dist(target.centroid, centroid(truth, size)), 3)
        errors["distance_source"] = target.distance_source
        if target.world is not None and observation.target is not None:
            errors["position_error_m"] = round(math.dist(target.world[:2], observation.target[:2]), 4)
    return errors


def target_iou(truth: NDArray[np.uint8], mask: NDArray[np.uint8], frame_size: tuple[int, int]) -> float:
    """Overlap of the target in a truth mask and in an answer's class mask.

    The truth is brought to the part of the model's input that the frame covers, as the official scorer does it.
    """
    _, (left, top, width, height) = plan_fit(frame_size, (mask.shape[1], mask.shape[0]))
    fitted = fit_channels(channels_from_classes(truth), (width, height))
    covered = channels_from_classes(mask[top : top + height, left : left + width])
    return float(intersection_over_union(fitted, covered)[TARGET])


def centroid(truth: NDArray[np.uint8], frame_size: tuple[int, int]) -> tuple[float, float]:
    """Mean position ``(u, v)`` of the truth's target in pixels of a frame of ``(width, height)``."""
    rows, columns = np.nonzero(truth == TARGET)
    height, width = truth.shape
    u, v = (float(columns.mean()) + 0.5) / width, (float(rows.mean()) + 0.5) / height
    return u * frame_size[0], v * frame_size[1]
