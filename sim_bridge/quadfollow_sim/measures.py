"""What closed-loop flights amount to: in view, error, losses, collisions, latency, with their confidence."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import mean, median
from typing import Any

import numpy as np

from quadfollow_sim.report import percentiles
from quadfollow_sim.safety import SafetyRule
from quadfollow_sim.sortie import Sortie, Step

VISIBLE = 20
"""Pixels of the target from which on it counts as in view."""
LOSS = 1.0
"""Seconds out of view from which on it counts as a loss; shorter ones are lamp posts and passers-by."""
RESAMPLES = 2000
INTERVALS = ("in_view", "position_error_m", "losses", "longest_loss_s", "collisions")


@dataclass(frozen=True, slots=True)
class Loss:
    """A stretch out of view that counts as a loss; seconds of the world's clock."""

    begun: float
    seconds: float
    recovered: bool

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {"from_s": _rounded(self.begun), "seconds": _rounded(self.seconds), "recovered": self.recovered}


def measure_sortie(sortie: Sortie) -> dict[str, Any]:
    """Measure one flight; None where nothing could be."""
    steps = sortie.steps
    since = _since_first_sight(steps)
    losses = losses_of(sortie)
    errors = [error for step in steps if (error := _error(step)) is not None]
    answered = [step.state for step in steps if step.state is not None]
    nearest = [distance for step in steps if (distance := _clearance(step)) is not None]
    return {
        "seconds": round(sortie.seconds, 3),
        "frames": len(steps),
        "skipped": sortie.skipped,
        "first_sight_s": since[0].time if since else None,
        "in_view": _rounded(mean(_is_in_view(step) for step in since)) if since else None,
        "position_error_m": _rounded(median(errors)) if errors else None,
        "position_error_p95_m": _rounded(float(np.percentile(errors, 95))) if errors else None,
        "losses": len(losses),
        "lost": [loss.as_dict() for loss in losses],
        "longest_loss_s": _rounded(max((loss.seconds for loss in losses), default=0.0)),
        "recovered": _has_recovered(steps, since, losses),
        "followed": _rounded(mean(state == "following" for state in answered)) if answered else None,
        "nearest_m": _rounded(min(nearest)) if nearest else None,
        "collisions": len(sortie.collisions),
        "collided_with": dict(Counter(sortie.collisions)),
        "states": dict(Counter(step.state or "none" for step in steps)),
        "braking": dict(Counter(step.braking for step in steps if step.braking is not None)),
        "latency_ms": percentiles(step.latency_ms for step in steps),
        "lag_ms": percentiles(step.lag_ms for step in steps),
        "outcomes": dict(Counter(step.outcome for step in steps)),
        "reasons": dict(Counter(step.reason for step in steps if step.reason)),
        "server_gone": sortie.server_gone,
        "interrupted": sortie.interrupted,
        "aborted": sortie.aborted,
        "orders": sortie.orders,
    }


def measure_all(flights: Sequence[dict[str, Any]], steps: Sequence[Step]) -> dict[str, Any]:
    """The means over flights with 95 % intervals (bootstrap over flights), and the latency of all answers."""
    overall: dict[str, Any] = {name: _with_interval([flight[name] for flight in flights]) for name in INTERVALS}
    return overall | {
        "flights": len(flights),
        "seconds": round(sum(flight["seconds"] for flight in flights), 1),
        "flights_with_long_loss": sum(flight["longest_loss_s"] > 3 for flight in flights),
        "not_recovered": sum(flight["recovered"] is False for flight in flights),
        "latency_ms": percentiles(step.latency_ms for step in steps),
        "lag_ms": percentiles(step.lag_ms for step in steps),
        "skipped": sum(flight["skipped"] for flight in flights),
        "unsent": sum(flight["outcomes"].get("unsent", 0) for flight in flights),
        "nearest_m": min((flight["nearest_m"] for flight in flights if flight["nearest_m"] is not None), default=None),
    }


def losses_of(sortie: Sortie) -> list[Loss]:
    """The losses of a flight since its first sight of the target, oldest first."""
    return [loss for loss in _gaps(_since_first_sight(sortie.steps), 1 / sortie.rate) if loss.seconds > LOSS]


def bootstrap(values: Sequence[float], seed: int = 0) -> tuple[float, float] | None:
    """The 95 % interval of the mean by resampling (Efron's percentiles); None for fewer than two values."""
    if len(values) < 2:
        return None
    drawn = np.random.default_rng(seed).choice(np.array(values, dtype=float), (RESAMPLES, len(values)))
    low, high = np.percentile(drawn.mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


def distance_between(step: Step) -> float | None:
    """Horizontal metres from the vehicle to the target, in truth."""
    return None if step.target is None else math.dist(step.position[:2], step.target[:2])


def _clearance(step: Step) -> float | None:
    """Metres from the vehicle to the vertical axis of the target's body, in truth: what the safety rule limits."""
    if step.target is None:
        return None
    rule = SafetyRule()
    return rule.person_wall(step.target, step.position).gap + rule.person_margin


def _is_in_view(step: Step) -> bool:
    return step.visible is not None and step.visible >= VISIBLE


def _since_first_sight(steps: Sequence[Step]) -> Sequence[Step]:
    first = next((index for index, step in enumerate(steps) if _is_in_view(step)), len(steps))
    return steps[first:]


def _has_recovered(steps: Sequence[Step], since: Sequence[Step], losses: Sequence[Loss]) -> bool | None:
    """Whether the target was seen, and at the end too if it was ever lost; None where the world tells no truth."""
    if all(step.visible is None for step in steps):
        return None
    return bool(since) and (not losses or _is_in_view(since[-1]))


def _error(step: Step) -> float | None:
    """Horizontal metres from the track to the target, while it is followed or predicted."""
    if step.place is None or step.target is None or step.state not in ("following", "coasting"):
        return None
    return math.dist(step.place[:2], step.target[:2])


def _gaps(steps: Sequence[Step], period: float) -> Iterator[Loss]:
    """Each stretch out of view, to its end or the flight's."""
    start: float | None = None
    for step in steps:
        if not _is_in_view(step):
            start = step.time if start is None else start
        elif start is not None:
            yield Loss(start, step.time - start, recovered=True)
            start = None
    if start is not None:
        yield Loss(start, steps[-1].time + period - start, recovered=False)


def _with_interval(values: Sequence[float | None]) -> dict[str, Any]:
    known = [float(value) for value in values if value is not None]
    interval = bootstrap(known)
    return {
        "mean": _rounded(mean(known)) if known else None,
        "interval": None if interval is None else [_rounded(value) for value in interval],
    }


def _rounded(value: float) -> float:
    return round(float(value), 4)


def flights_table(report: dict[str, Any]) -> str:
    """Lay a mission's report out as text: a row per flight, then all of them."""
    lines = [
        f"{'flight':>6}{'seed':>6}{'in view':>9}{'error m':>9}{'losses':>8}{'longest':>9}{'touches':>9}{'p99 ms':>8}"
    ]
    lines += [_flight_row(flight) for flight in report["flights"]]
    lines += [
        f"flight {flight['number']} was aborted by order, {flight['seconds']:.1f} s after it began"
        for flight in report["flights"]
        if flight["aborted"]
    ]
    lines += [
        f"flight {flight['number']} without a result: {count} x {reason}"
        for flight in report["flights"]
        for reason, count in flight["reasons"].items()
    ]
    overall = report["overall"]
    lines.append(f"over {overall['flights']} flights, {overall['seconds']:g} s, mean [95 % interval]:")
    names = {"in_view": "in view", "position_error_m": "position error, m", "losses": "losses", "collisions": "touches"}
    lines += [f"  {what:20}{_interval_text(overall[name])}" for name, what in names.items()]
    lines += [f"  {'followed':20}{_text(flight['followed'], '.1%')} of the pictures" for flight in _untold(report)]
    if overall["nearest_m"] is not None:
        lines.append(f"  {'nearest to target':20}{overall['nearest_m']:.2f} m")
    latency = overall["latency_ms"]
    if latency:
        lines.append(f"  {'capture to command':20}p50 {latency['p50']:.1f} ms, p99 {latency['p99']:.1f} ms")
    if report["plan"]["clock"] == "real" and overall["lag_ms"]:
        lag = overall["lag_ms"]
        lines.append(f"  {'lag':20}p50 {lag['p50']:.1f} ms, p99 {lag['p99']:.1f} ms; {overall['skipped']} skipped")
        lines.append(f"  {'not sent':20}{overall['unsent']}, since a newer picture came before the last answer")
    return "\n".join(lines)


def _untold(report: dict[str, Any]) -> list[dict[str, Any]]:
    """The flights through a world that does not tell its truth."""
    return [flight for flight in report["flights"] if report["plan"].get("world") == "quadsim"]


def _flight_row(flight: dict[str, Any]) -> str:
    latency = flight["latency_ms"]
    cells = (_text(flight["in_view"], ".1%"), _text(flight["position_error_m"], ".3f"))
    return (
        f"{flight['number']:>6}{flight['seed']:>6}{cells[0]:>9}{cells[1]:>9}{flight['losses']:>8}"
        f"{flight['longest_loss_s']:>8.1f}s{flight['collisions']:>9}{_text(latency and latency['p99'], '.1f'):>8}"
    )


def _interval_text(value: dict[str, Any]) -> str:
    if value["mean"] is None:
        return "-"
    interval = value["interval"]
    return f"{value['mean']:.3f}" + ("" if interval is None else f"  [{interval[0]:.3f}, {interval[1]:.3f}]")


def _text(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
