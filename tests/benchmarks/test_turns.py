"""Ways that are compared take turns in an order that is drawn anew for each round."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from measuring.turns import in_turns


def written_down(order: list[str], name: str) -> Callable[[], int]:
    """A way that writes its name down and returns how many have had their turn."""

    def way() -> int:
        order.append(name)
        return len(order)

    return way


def played(rounds: int, warm_up: int) -> tuple[list[str], dict[str, list[int]]]:
    """In which order five ways had their turns, and what was kept."""
    order: list[str] = []
    return order, in_turns({name: written_down(order, name) for name in "abcde"}, rounds, warm_up)


def test_each_way_has_one_turn_a_round_and_the_warm_ups_are_not_kept() -> None:
    """What is kept of a way are its places in the rounds after the warm-up's, in their order."""
    order, kept = played(rounds=3, warm_up=1)
    assert [sorted(order[first : first + 5]) for first in range(0, 20, 5)] == [list("abcde")] * 4
    assert all(order[place - 1] == name for name, places in kept.items() for place in places)
    assert all(5 < first <= 10 < second <= 15 < third for first, second, third in kept.values())


def test_no_way_always_follows_the_same_one() -> None:
    """Over some rounds each way has met several predecessors, which a mere rotation would not give."""
    order, _ = played(rounds=8, warm_up=0)
    before: dict[str, set[str]] = {}
    for first, second in pairwise(order):
        before.setdefault(second, set()).add(first)
    assert min(len(names - {name}) for name, names in before.items()) >= 3


def test_the_order_is_the_same_in_every_run() -> None:
    """So that two runs of a benchmark differ in nothing but the machine."""
    assert played(rounds=3, warm_up=1) == played(rounds=3, warm_up=1)
