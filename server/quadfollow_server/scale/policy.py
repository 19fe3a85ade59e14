"""How many replicas there should be: as many as keep each of them at work for a chosen share of its time."""

from __future__ import annotations

from typing import Any


class BusyShare:
    """A policy for Ray Serve, which itself keeps to the least and the most, to delays and to steps.

    Args:
        target: the share of its time that a replica should be at work.
    """

    def __init__(self, target: float) -> None:
        self._target = target

    def __call__(self, context: Any) -> tuple[float, dict[str, Any]]:
        """Return how many replicas there should be (an ``AutoscalingContext`` of Ray Serve's says what they report)."""
        shares = (context.aggregated_metrics or {}).get("busy", {})
        if not shares:
            return context.target_num_replicas, {}
        return context.current_num_replicas * (sum(shares.values()) / len(shares)) / self._target, {}
