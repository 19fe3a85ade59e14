"""What many measured values amount to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

ENOUGH = 300
"""Values of which a 99th percentile is told: of fewer it is little but the highest."""


def percentiles(values: Iterable[float]) -> dict[str, Any]:
    """Median, 95th and 99th percentile, and how many values there are; None for each where there is none."""
    kept = [value for value in values if value is not None]
    if not kept:
        return {"p50": None, "p95": None, "p99": None, "count": 0}
    p50, p95, p99 = (round(float(value), 4) for value in np.percentile(kept, (50, 95, 99)))
    return {"p50": p50, "p95": p95, "p99": p99, "count": len(kept)}


def has_tail(found: Mapping[str, Any]) -> bool:
    """Whether percentiles are of so many values that the 99th says something."""
    return bool(found["count"] >= ENOUGH)


def in_ms(values: Iterable[float]) -> dict[str, float | None]:
    """The same percentiles of milliseconds, under names that say so."""
    return {f"{name}_ms": value for name, value in percentiles(values).items() if name != "count"}


def spread(values: Sequence[float]) -> dict[str, float]:
    """The median of the rounds, with the lowest and the highest of them.

    Raises:
        ValueError: there are no values.
    """
    if not values:
        raise ValueError("no round gave a value")
    return {
        "median": round(float(np.median(values)), 4),
        "low": round(float(min(values)), 4),
        "high": round(float(max(values)), 4),
    }


def ratio(above: Sequence[float], below: Sequence[float]) -> dict[str, float]:
    """Divide round by round, and return the spread of the quotients.

    Raises:
        ValueError: the two are not of the same rounds.
    """
    if len(above) != len(below):
        raise ValueError(f"{len(above)} rounds cannot be compared with {len(below)}")
    return spread([one / other for one, other in zip(above, below, strict=True)])
