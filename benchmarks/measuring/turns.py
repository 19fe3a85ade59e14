"""Ways that are compared take turns, so that a noisy machine disturbs all alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from random import Random
from typing import TypeVar

T = TypeVar("T")
SEED = 1
"""Of the order in each round."""


def in_turns(ways: Mapping[str, Callable[[], T]], rounds: int, warm_up: int = 1) -> dict[str, list[T]]:
    """Call each way once a round, and return what the rounds gave, in their order.

    Each round has an order of its own, the same in every run, so that what a way leaves behind does not always meet the
    same one; the warm-up's rounds are not kept.
    """
    kept: dict[str, list[T]] = {name: [] for name in ways}
    chance, order = Random(SEED), list(ways)
    for number in range(-warm_up, rounds):
        chance.shuffle(order)
        for name in order:
            value = ways[name]()
            if number >= 0:
                kept[name].append(value)
    return kept


def timed(
    way: Callable[[], object], calls: int, before: Callable[[], object] = lambda: None
) -> Callable[[], list[float]]:
    """Make a way that calls another so many times in a row and returns the milliseconds of each call.

    What is to be done ``before`` each is not counted.
    """

    def measure() -> list[float]:
        times = []
        for _ in range(calls):
            before()
            started = time.perf_counter()
            way()
            times.append(1000 * (time.perf_counter() - started))
        return times

    return measure
