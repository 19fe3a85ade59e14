"""The page of a flight is drawn whatever happened in it."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from quadfollow_sim.page import draw_page
from quadfollow_sim.sortie import Sortie, Step

HERE = (0.0, 0.0, 2.0)


def step(number: int, **known: object) -> Step:
    """A step of which only the given is known."""
    return Step(number / 20, HERE, 0.0, 0.0, outcome="result", lag_ms=0.0, **({"target": None, "visible": 0} | known))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "steps",
    [
        [],
        [step(0)],
        [step(n, target=(3.0, n / 9, 0.9), visible=40, state="following", place=(3.0, n / 9, 0.9)) for n in range(20)],
        [step(n, braking="no fresh answer", state="lost", latency_ms=5.0) for n in range(20)],
    ],
    ids=["empty", "unknown", "followed", "lost"],
)
def test_any_flight_has_a_page(tmp_path: Path, steps: list[Step]) -> None:
    """A PNG of some size, from nothing known to all."""
    path = draw_page(Sortie(20.0, steps, seconds=1.0), tmp_path / "new" / "flight.png", "street, seed 0")
    with Image.open(path) as page:
        assert page.format == "PNG"
        assert page.width > 1000
