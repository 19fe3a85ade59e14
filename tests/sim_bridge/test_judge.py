"""An answer is held against the truth in pixels, overlap and metres."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from quadfollow_core.codec import encode_png
from quadfollow_core.resize import PERSON, TARGET, Letterbox, plan_fit
from quadfollow_core.stream_client import Fate
from quadfollow_sim.judge import Row, judge, target_iou
from quadfollow_sim.world import Observation

FRAME = np.zeros((64, 64, 3), dtype=np.uint8)


def box(left: int, top: int, width: int = 10, height: int = 20, side: int = 64) -> NDArray[np.uint8]:
    """A class mask with a rectangle of target."""
    classes = np.zeros((side, side), dtype=np.uint8)
    classes[top : top + height, left : left + width] = TARGET
    return classes


def answer(classes: NDArray[np.uint8] | None, **target: Any) -> Fate:
    """A result as the server writes it; without keys of a target there is none."""
    found = {"centroid": [0.0, 0.0], "box": [0, 0, 1, 1], "area": 1, "confidence": 1} | target if target else None
    body = {"target": found, "frame": {"width": 64, "height": 64}, "held_ms": 7.0, "timings": {"infer_ms": 5.0}}
    body["mask"] = {"mask_from_frame": asdict(Letterbox(1.0, 1.0, 0.0, 0.0))}
    return Fate(1, "result", 0.012, body, None if classes is None else encode_png(classes))


def row(fate: Fate, truth: NDArray[np.uint8] | None, **known: Any) -> Row:
    """The row of one answer."""
    return judge(fate, Observation(FRAME, "f", truth=truth, **known), offered_s=1.0, lag_ms=2.0, age_ms=None)


def test_a_perfect_answer_is_perfect() -> None:
    """The truth itself as answer overlaps wholly and is nowhere off."""
    seen = row(answer(box(20, 10), centroid=[25.0, 20.0]), box(20, 10))
    assert (seen.found, seen.present, seen.truth_pixels) == (True, True, 200)
    assert (seen.iou, seen.centroid_error_px) == (1.0, 0.0)
    assert (seen.latency_ms, seen.held_ms, seen.timings) == (12.0, 7.0, {"infer_ms": 5.0})


@pytest.mark.parametrize("shift", [1, 3, 7])
def test_shifting_the_answer_by_k_is_k_pixels_off(shift: int) -> None:
    """Centroid error is the shift, and overlap falls as the rectangles part."""
    seen = row(answer(box(20 + shift, 10), centroid=[25.0 + shift, 20.0]), box(20, 10))
    assert seen.centroid_error_px == shift
    assert seen.iou == pytest.approx((10 - shift) / (10 + shift), abs=1e-4)


def test_a_truth_of_another_size_counts_in_the_frames_pixels() -> None:
    """A mask twice as fine gives the same centroid and overlap."""
    fine = box(40, 20, 20, 40, side=128)
    seen = row(answer(box(20, 10), centroid=[25.0, 20.0]), fine)
    assert (seen.iou, seen.centroid_error_px) == (1.0, 0.0)


def test_a_letterboxed_answer_overlaps_where_the_frame_lies() -> None:
    """A wide frame fills the middle of a square model; what lies in the padding does not count."""
    truth = np.zeros((32, 64), dtype=np.uint8)
    truth[10:20, 30:40] = TARGET
    mask = np.zeros((64, 64), dtype=np.uint8)
    _, (_, top, _, _) = plan_fit((64, 32), (64, 64))
    mask[top + 10 : top + 20, 30:40] = TARGET
    mask[:5] = TARGET
    assert top == 16
    assert target_iou(truth, mask, (64, 32)) == 1.0


def test_a_missed_target_overlaps_with_nothing() -> None:
    """An empty answer counts with an overlap of 0, and has no centroid to be off."""
    seen = row(answer(np.full((64, 64), PERSON, dtype=np.uint8)), box(20, 10))
    assert (seen.found, seen.iou, seen.centroid_error_px) == (False, 0.0, None)


def test_a_false_target_has_no_errors() -> None:
    """Where the truth has none (three pixels are none), found is all there is to say."""
    seen = row(answer(box(20, 10), centroid=[25.0, 20.0]), box(0, 0, 3, 1))
    assert (seen.found, seen.present, seen.iou, seen.centroid_error_px) == (True, False, None, None)


def test_position_error_is_measured_over_ground() -> None:
    """Three metres beside and four behind are five off; height does not count."""
    fate = answer(None, centroid=[25.0, 20.0], world=[3.0, 4.0, 9.0], distance=5.0, distance_source="depth")
    seen = row(fate, box(20, 10), target=(0.0, 0.0, 1.0))
    assert (seen.position_error_m, seen.distance_source, seen.iou) == (5.0, "depth", None)


@pytest.mark.parametrize(
    ("outcome", "body", "reason"),
    [("dropped", {"reason": "superseded"}, "superseded"), ("error", {"detail": "bad"}, "bad"), ("lost", {}, None)],
)
def test_a_frame_without_answer_says_why(outcome: Any, body: dict[str, Any], reason: str | None) -> None:
    """Drops and errors carry the server's reason and nothing that was not measured."""
    seen = row(Fate(1, outcome, 0.5, body), box(20, 10))
    assert (seen.outcome, seen.reason, seen.latency_ms, seen.found) == (outcome, reason, None, None)


def test_rows_are_plain_values() -> None:
    """A row's dictionary has every field."""
    seen = row(answer(box(20, 10)), None)
    assert seen.as_dict() == asdict(seen)
    assert seen.present is None
