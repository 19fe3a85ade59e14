"""What flights amount to, on made-up steps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from quadfollow_sim.measures import bootstrap, flights_table, measure_all, measure_sortie
from quadfollow_sim.sortie import Sortie, Step

HERE = (0.0, 0.0, 2.0)
THERE = (3.0, 0.0, 0.9)


def step(number: int, visible: int = 100, **more: Any) -> Step:
    """A step at 10 Hz with the target at ``THERE``."""
    known = {"state": "following", "place": THERE, "outcome": "result", "latency_ms": 10.0} | more
    return Step(number / 10, HERE, 0.0, 0.0, THERE, visible, 0.0, **known)


def sortie(visible: list[int], **more: Any) -> Sortie:
    """A sortie with so many visible pixels step by step."""
    steps = [step(number, pixels, **more) for number, pixels in enumerate(visible)]
    return Sortie(10.0, steps, seconds=len(steps) / 10)


def test_time_before_the_first_sight_does_not_count() -> None:
    """In view is a share of the time since the target was first seen with 20 pixels."""
    measures = measure_sortie(sortie([0, 19, 20, 100, 19, 100]))
    assert measures["first_sight_s"] == 0.2
    assert measures["in_view"] == 0.75


def test_short_gaps_are_no_losses() -> None:
    """Ten pictures without the target are one second and forgiven; eleven are a loss."""
    assert measure_sortie(sortie([100] + [0] * 10 + [100]))["losses"] == 0
    measures = measure_sortie(sortie([100] + [0] * 11 + [100]))
    assert (measures["losses"], measures["longest_loss_s"], measures["recovered"]) == (1, 1.1, True)


def test_a_loss_until_the_end_is_not_recovered() -> None:
    """And lasts until the end."""
    measures = measure_sortie(sortie([100] + [0] * 20))
    assert (measures["losses"], measures["longest_loss_s"], measures["recovered"]) == (1, 2.0, False)


def test_nothing_seen_is_not_measured() -> None:
    """Without a first sight there is no share, and without a track no error."""
    measures = measure_sortie(sortie([0] * 5, state="searching", place=None))
    assert (measures["in_view"], measures["position_error_m"], measures["losses"]) == (None, None, 0)


def test_who_was_never_seen_was_not_recovered() -> None:
    """Nor is anything said about it where the world does not tell its truth."""
    unseen = measure_sortie(sortie([0] * 5, state="searching", place=None))
    untold = measure_sortie(Sortie(10.0, [replace(step(number), visible=None) for number in range(5)], seconds=0.5))
    assert (unseen["recovered"], untold["recovered"]) == (False, None)
    assert measure_all([unseen, untold], [])["not_recovered"] == 1


def test_how_near_the_vehicle_came_is_told_to_the_targets_axis() -> None:
    """Level with the body only the horizontal counts, above it the way down to the top of the head too."""
    flown = sortie([100] * 2)
    assert measure_sortie(flown)["nearest_m"] == pytest.approx(np.hypot(3.0, 2.0 - 1.8), abs=1e-3)
    flown.steps.append(replace(step(2), position=(2.0, 0.0, 1.0)))
    assert measure_sortie(flown)["nearest_m"] == 1.0


def test_pictures_that_were_never_sent_say_nothing_about_the_track() -> None:
    """Followed is a share of the answered ones."""
    flown = sortie([100] * 2)
    flown.steps += [step(2, state=None, place=None, outcome="unsent"), step(3, state="lost")]
    measures = measure_sortie(flown)
    assert measures["followed"] == pytest.approx(2 / 3, abs=1e-3)
    assert measure_all([measures], flown.steps)["unsent"] == 1


def test_the_error_is_horizontal_and_of_believed_places() -> None:
    """Height does not count; a lost track's guess does not either."""
    off = sortie([100] * 3, place=(3.0, 0.4, 5.0))
    off.steps.append(step(3, place=(90.0, 0.0, 0.0), state="lost"))
    assert measure_sortie(off)["position_error_m"] == 0.4


def test_collisions_are_counted_by_kind() -> None:
    """With what it collided is told."""
    hit = sortie([100])
    hit.collisions = ("tree", "tree", "person")
    measures = measure_sortie(hit)
    assert (measures["collisions"], measures["collided_with"]) == (3, {"tree": 2, "person": 1})


def test_the_interval_of_a_mean() -> None:
    """Resampling gives what the normal approximation gives, is the same every time, and needs two values."""
    values = np.random.default_rng(1).normal(5.0, 2.0, 100).tolist()
    low, high = bootstrap(values) or (0.0, 0.0)
    assert (low, high) == bootstrap(values)
    assert high - low == pytest.approx(2 * 1.96 * np.std(values) / 10, rel=0.15)
    assert low < np.mean(values) < high
    assert bootstrap([1.0]) is None


def test_the_table_has_a_row_per_flight() -> None:
    """And the means with their intervals; what was not measured is a dash."""
    sorties = [sortie([100] * 20), sortie([100] * 10 + [0] * 15), sortie([0], state="searching", place=None)]
    flights = [{"number": n + 1, "seed": n} | measure_sortie(one) for n, one in enumerate(sorties)]
    overall = measure_all(flights, [taken for one in sorties for taken in one.steps])
    assert overall["in_view"]["mean"] == pytest.approx(0.7)
    assert overall["flights_with_long_loss"] == 0
    assert overall["not_recovered"] == 2
    text = flights_table({"flights": flights, "overall": overall, "plan": {"clock": "real"}})
    rows = text.splitlines()
    assert rows[1].split()[:3] == ["1", "0", "100.0%"]
    assert rows[3].split()[2:4] == ["-", "-"]
    assert "[0.400, 1.000]" in text
    assert "skipped" in text
