"""Ways that are compared take turns, so that a noisy machine disturbs all alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TypeVar

T = TypeVar("T")


def in_turns(ways: Mapping[str, Callable[[], T]], rounds: int, warm_up: int = 1) -> dict[str, list[T]]:
    """Call each way once a round, and return what the rounds gave, in their order.

    Each round begins with another way, so that none always follows the same one; the warm-up's rounds are not kept.
    """
    names = list(ways)
    kept: dict[str, list[T]] = {name: [] for name in names}
    for number in range(-warm_up, rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            value = ways[name]()
            if number >= 0:
                kept[name].append(value)
    return kept


def timed(way: Callable[[], object], calls: int) -> Callable[[], list[float]]:
    """Make a way that calls another so many times in a row and returns the milliseconds of each call."""

    def measure() -> list[float]:
        times = []
        for _ in range(calls):
            started = time.perf_counter()
            way()
            times.append(1000 * (time.perf_counter() - started))
        return times

    return measure
