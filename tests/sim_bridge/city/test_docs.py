"""The city's page: its example runs, its table of presets is the code's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from quadfollow_sim.city.presets import PRESETS

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "city.md").read_text()


def test_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """The example follows the target for two seconds and touches nothing."""
    block = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert block is not None
    exec(block[1], {})
    assert capsys.readouterr().out.strip().endswith("[]")


@pytest.mark.parametrize("name", PRESETS)
def test_preset_table(name: str) -> None:
    """Each preset has its row, with its number of people and its wind."""
    (low, high), (calm, strong) = PRESETS[name].people, PRESETS[name].wind
    wind = f"{calm:g}–{strong:g} m/s" if calm else f"up to {strong:g} m/s"
    assert re.search(rf"^\| `{name}` \|.*\| {low}–{high} \|.*\| {wind}", PAGE, re.MULTILINE)
