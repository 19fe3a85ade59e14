"""The report's numbers are those of the rows, and the table shows them."""

from __future__ import annotations

from typing import Any

import pytest

from quadfollow_sim.bridge import Flight
from quadfollow_sim.judge import Row
from quadfollow_sim.report import percentiles, summarise, table


def row(number: int, outcome: str = "result", **values: Any) -> Row:
    """A row with what the test cares about."""
    return Row(number, f"f{number}", number / 10, 1.0, 40.0, outcome, **values)


ROWS = [
    row(1, latency_ms=10.0, held_ms=8.0, timings={"infer_ms": 6.0}, found=True, truth_pixels=500, iou=0.9,
        centroid_error_px=1.0, position_error_m=0.1, distance_source="depth"),
    row(2, latency_ms=20.0, held_ms=9.0, timings={"infer_ms": 8.0}, found=True, truth_pixels=90, iou=0.5,
        centroid_error_px=3.0, position_error_m=0.5, distance_source="height"),
    row(3, latency_ms=30.0, held_ms=9.0, timings={"infer_ms": 7.0}, found=False, truth_pixels=5, iou=0.0),
    row(4, latency_ms=30.0, held_ms=9.0, timings={"infer_ms": 7.0}, found=True, truth_pixels=0),
    row(5, latency_ms=30.0, held_ms=9.0, timings={"infer_ms": 7.0}, found=False, truth_pixels=3),
    row(6, "dropped", reason="superseded", truth_pixels=500),
    row(7, "unsent", truth_pixels=500),
]  # fmt: skip


@pytest.fixture
def report() -> dict[str, Any]:
    """The report of a flight of seven frames."""
    return summarise(Flight(20.0, ROWS, skipped=2, seconds=0.5))


def test_outcomes_add_up(report: dict[str, Any]) -> None:
    """Every offered frame is in exactly one outcome."""
    assert report["frames"] == sum(report["outcomes"].values()) == 7
    assert report["outcomes"] == {"result": 5, "dropped": 1, "error": 0, "unsent": 1, "lost": 0}
    assert (report["answers"], report["skipped"], report["reasons"]) == (5, 2, {"superseded": 1})
    assert report["rate_hz"] == {"asked": 20.0, "offered": 14.0, "answered": 10.0}


def test_times_are_percentiles_of_the_answers(report: dict[str, Any]) -> None:
    """Latency counts answered frames only; stages are medians."""
    assert report["latency_ms"] == {"p50": 30.0, "p90": 30.0, "p99": 30.0, "max": 30.0}
    assert report["timings_ms"] == {"infer_ms": 7.0}


def test_detection_counts_frames_by_the_official_rule(report: dict[str, Any]) -> None:
    """More than three pixels are a target; frames without an answer count in no rate."""
    truth = report["truth"]
    assert (truth["frames"], truth["with_target"], truth["detected"]) == (5, 3, 2)
    assert truth["detection_rate"] == pytest.approx(2 / 3, abs=1e-4)
    assert (truth["without_target"], truth["false_detections"]) == (2, 1)
    assert truth["mean_iou"] == pytest.approx(1.4 / 3, abs=1e-4)
    assert truth["centroid_error_px"] == {"median": 2.0, "p95": 2.9}
    assert truth["position_error_m"]["median"] == 0.3
    assert truth["distance_source"] == {"depth": 1, "height": 1}
    assert {name: part["frames"] for name, part in truth["by_size"].items()} == {"4-9": 1, "80-159": 1, "320+": 1}


def test_the_table_shows_the_numbers(report: dict[str, Any]) -> None:
    """What a reader looks for stands in the table."""
    text = table(report)
    for part in ("7 frames", "5 answered", "1 dropped", "1 unsent", "2 skipped", "superseded", "2 of 3", "66.7%",
                 "falsely in 1 of 2", "0.467", "2 px median", "0.3 m median", "infer 7.00"):  # fmt: skip
        assert part in text, part


def test_nothing_measured_is_none_not_zero() -> None:
    """A flight without answers or truth has no percentiles, and the table still stands."""
    report = summarise(Flight(20.0, [Row(1, "f", 0.0, 1.0, None, "lost")], seconds=1.0))
    assert (report["latency_ms"], report["age_ms"], report["truth"]) == (None, None, None)
    assert "nothing was answered" in table(report)
    assert "no masks" in table(summarise(Flight(20.0, [row(1, latency_ms=10.0)], seconds=1.0)))
    empty = summarise(Flight(20.0))
    assert empty["rate_hz"]["offered"] is None
    assert "0 frames" in table(empty)


def test_percentiles_are_of_what_is_known() -> None:
    """None values do not count."""
    assert percentiles([None, 1.0, None, 3.0]) == {"p50": 2.0, "p90": 2.8, "p99": 2.98, "max": 3.0}
