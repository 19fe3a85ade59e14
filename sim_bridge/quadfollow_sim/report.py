"""What a flight amounts to: one JSON object, and the same as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any

import numpy as np

from quadfollow_core.errors import QuadfollowError
from quadfollow_core.scoring import SIZE_BINS, size_class
from quadfollow_sim.bridge import Flight
from quadfollow_sim.judge import Row

OUTCOMES = ("result", "dropped", "error", "unsent", "lost")
PERCENTILES = (50, 90, 99)


def summarise(flight: Flight) -> dict[str, Any]:
    """Sum a flight up in plain numbers, None where nothing was measured."""
    rows, seconds = flight.rows, flight.seconds
    answered = [row for row in rows if row.outcome == "result"]
    counts = Counter(row.outcome for row in rows)
    return {
        "frames": len(rows),
        "skipped": flight.skipped,
        "answers": len(answered),
        "outcomes": {outcome: counts[outcome] for outcome in OUTCOMES},
        "reasons": dict(Counter(row.reason for row in rows if row.reason)),
        "seconds": round(seconds, 3),
        "rate_hz": {
            "asked": flight.rate,
            "offered": round(len(rows) / seconds, 2) if seconds else None,
            "answered": round(len(answered) / seconds, 2) if seconds else None,
        },
        "lag_ms": percentiles(row.lag_ms for row in rows),
        "latency_ms": percentiles(row.latency_ms for row in rows),
        "age_ms": percentiles(row.age_ms for row in rows),
        "held_ms": percentiles(row.held_ms for row in rows),
        "timings_ms": _stages(answered),
        "truth": _against_truth(answered),
        "interrupted": flight.interrupted,
        "server_gone": flight.server_gone,
    }


def require_answers(report: dict[str, Any]) -> None:
    """Make sure that a flight, or one of several, had a picture answered, if it took any.

    Raises:
        QuadfollowError: none was; the message says why.
    """
    flights = report.get("flights", [report])
    outcomes = _added(flight["outcomes"] for flight in flights)
    if outcomes["result"] or not outcomes:
        return
    why = _added(flight["reasons"] for flight in flights) or outcomes
    told = ", ".join(f"{count} x {reason}" for reason, count in why.most_common(3))
    other = ", and another --model, or none, may help" if report["plan"]["model"] else ""
    raise QuadfollowError(
        f"none of {outcomes.total()} pictures was answered: {told}; the server's log tells more{other}"
    )


def _added(counts: Iterable[dict[str, int]]) -> Counter[str]:
    """The sums of several counts, without what never happened."""
    return sum(map(Counter, counts), Counter[str]())


def percentiles(values: Iterable[float | None]) -> dict[str, float] | None:
    """Return ``p50``, ``p90``, ``p99`` and ``max`` of the values that are known; None if none is."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    named = {f"p{p}": round(float(np.percentile(known, p)), 2) for p in PERCENTILES}
    return named | {"max": round(max(known), 2)}


def _stages(answered: Sequence[Row]) -> dict[str, float]:
    """Median of each of the server's stages."""
    stages = dict.fromkeys(stage for row in answered for stage in row.timings)
    return {stage: round(median(row.timings[stage] for row in answered if stage in row.timings), 3) for stage in stages}


def _against_truth(answered: Sequence[Row]) -> dict[str, Any] | None:
    """Detection, overlap and errors over the answered frames that have a truth."""
    known = [row for row in answered if row.present is not None]
    if not known:
        return None
    present = [row for row in known if row.present]
    absent = [row for row in known if not row.present]
    sources = Counter(row.distance_source for row in present if row.distance_source)
    return {
        "frames": len(known),
        "with_target": len(present),
        "detected": sum(bool(row.found) for row in present),
        "detection_rate": _share(present),
        "by_size": _by_size(present),
        "without_target": len(absent),
        "false_detections": sum(bool(row.found) for row in absent),
        "mean_iou": _mean(row.iou for row in present),
        "centroid_error_px": _spread(row.centroid_error_px for row in present),
        "position_error_m": _spread(row.position_error_m for row in present),
        "distance_source": dict(sources),
    }


def _by_size(present: Sequence[Row]) -> dict[str, dict[str, Any]]:
    """Detection by the target's size in the truth, in its pixels."""
    groups: dict[str, list[Row]] = {size_class(low): [] for low in SIZE_BINS[:-1]}
    for row in present:
        groups[size_class(row.truth_pixels or 0)].append(row)
    return {
        name: {"frames": len(rows), "detection_rate": _share(rows), "mean_iou": _mean(row.iou for row in rows)}
        for name, rows in groups.items()
        if rows
    }


def _share(rows: Sequence[Row]) -> float | None:
    return round(sum(bool(row.found) for row in rows) / len(rows), 4) if rows else None


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(sum(known) / len(known), 4) if known else None


def _spread(values: Iterable[float | None]) -> dict[str, float] | None:
    known = [value for value in values if value is not None]
    if not known:
        return None
    return {"median": round(median(known), 3), "p95": round(float(np.percentile(known, 95)), 3)}


def table(report: dict[str, Any]) -> str:
    """Lay a summary out as text."""
    rate, outcomes = report["rate_hz"], report["outcomes"]
    lines = [
        f"{report['frames']} frames in {report['seconds']:.1f} s, {report['answers']} answered"
        f"   (asked {rate['asked']:g} Hz, offered {_text(rate['offered'])}, answered {_text(rate['answered'])})",
        "not answered: "
        + ", ".join(f"{outcomes[name]} {name}" for name in OUTCOMES[1:])
        + f"; {report['skipped']} skipped, as the source came too late",
    ]
    lines += [f"  {count} x {reason}" for reason, count in report["reasons"].items()]
    truth = _truth_lines(report["truth"]) if report["answers"] else ["nothing was answered, so no detection rate"]
    return "\n".join(lines + _time_lines(report) + truth)


def _time_lines(report: dict[str, Any]) -> list[str]:
    rows = {
        "latency, capture to answer": report["latency_ms"],
        "  of it held by the server": report["held_ms"],
        "age of the newest answer": report["age_ms"],
        "lag behind the clock": report["lag_ms"],
    }
    lines = [f"{'milliseconds':28}" + "".join(f"{name:>9}" for name in ("p50", "p90", "p99", "max"))]
    lines += [f"{name:28}" + "".join(f"{v:>9.1f}" for v in part.values()) for name, part in rows.items() if part]
    stages = ", ".join(f"{stage.removesuffix('_ms')} {value:.2f}" for stage, value in report["timings_ms"].items())
    return [*lines, f"server's stages, median ms: {stages}"] if stages else lines


def _truth_lines(truth: dict[str, Any] | None) -> list[str]:
    if truth is None:
        return ["no masks, so no detection rate: give a folder with masks/"]
    found = f"{truth['detected']} of {truth['with_target']}"
    lines = [
        f"target found in {found} frames that show it ({_text(truth['detection_rate'], '.1%')}), "
        f"falsely in {truth['false_detections']} of {truth['without_target']} others",
        f"{'target pixels':16}{'frames':>8}{'found':>8}{'IoU':>8}",
    ]
    for name, row in truth["by_size"].items():
        share, iou = _text(row["detection_rate"], ".0%"), _text(row["mean_iou"], ".3f")
        lines.append(f"{name:16}{row['frames']:>8}{share:>8}{iou:>8}")
    lines.append(f"{'all':16}{truth['with_target']:>8}{'':8}{_text(truth['mean_iou'], '.3f'):>8}")
    for key, what, unit in (
        ("centroid_error_px", "centroid", "px"),
        ("position_error_m", "position on the ground", "m"),
    ):
        if truth[key]:
            lines.append(f"{what} off by {truth[key]['median']:g} {unit} median, {truth[key]['p95']:g} {unit} p95")
    return lines


def _text(value: float | None, form: str = ".1f") -> str:
    return "-" if value is None else format(value, form)
