"""What many measured values amount to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np


def percentiles(values: Iterable[float]) -> dict[str, Any]:
    """Median, 95th and 99th percentile, and how many values there are; None for each where there is none."""
    kept = [value for value in values if value is not None]
    if not kept:
        return {"p50": None, "p95": None, "p99": None, "count": 0}
    p50, p95, p99 = (round(float(value), 4) for value in np.percentile(kept, (50, 95, 99)))
    return {"p50": p50, "p95": p95, "p99": p99, "count": len(kept)}


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
