"""What ``quadfollow plan`` says follows from measured figures, and from nothing else."""

from __future__ import annotations

import json
import math

import pytest
from click.testing import CliRunner

from quadfollow_core.errors import BadInput, NotFound
from quadfollow_server.plan import RANGES, Wanted, figures, plan
from quadfollow_server.plan_cli import plan as command


def test_cores_and_bandwidth_follow_from_the_figures() -> None:
    """So many frames at so many milliseconds each, on cores that are at work 60 % of their time."""
    told = plan(Wanted(streams=100, hz=20, size="640x480"))
    cost = figures()["processor"]["core_ms"]["follow-256"]["640x480"]
    assert told["processor"]["cores"] == math.ceil(2000 * cost / 1000 / 0.6)
    assert told["megabits_in"] == pytest.approx(2000 * 8e-6 * figures()["bytes"]["frame"]["640x480"], abs=0.01)
    assert told["processor"]["streams_per_core"] == pytest.approx(600 / cost / 20, abs=0.05)


def test_twice_as_much_needs_twice_as_many() -> None:
    """Streams and rate count alike; fuller cores are fewer."""
    once, twice = plan(Wanted(streams=50, hz=20)), plan(Wanted(streams=50, hz=40))
    assert twice["processor"] == plan(Wanted(streams=100, hz=20))["processor"] | {
        key: twice["processor"][key] for key in ("streams_per_core",)
    }
    assert twice["processor"]["cores"] >= 2 * once["processor"]["cores"] - 1
    assert plan(Wanted(streams=50, full=0.9))["processor"]["cores"] < once["processor"]["cores"]


def test_a_gpu_leaves_the_processor_all_but_the_network() -> None:
    """A plan with GPUs names both; for a model without figures of a GPU it says that none were measured."""
    told = plan(Wanted(streams=1000, model="seed"))
    assert told["gpu"]["core_ms"] < told["processor"]["core_ms"]
    assert told["gpu"]["gpus"] == math.ceil(20_000 * told["gpu"]["gpu_ms"] / 1000 / 0.6)
    assert len(told["measured_on"]) == 2
    other = next(model for model in figures()["processor"]["core_ms"] if model not in {"seed", "no network"})
    assert plan(Wanted(streams=1000, model=other))["gpu"] is None
    assert "not measured" in CliRunner().invoke(command, ["--model", other]).output


def test_costs_need_prices() -> None:
    """The price of a stream's hour is what all its machines cost, shared; nothing is assumed."""
    assert plan(Wanted(streams=100))["processor"]["cost_per_stream_hour"] is None
    told = plan(Wanted(streams=100, core_price=0.05))["processor"]
    assert told["cost_per_stream_hour"] == pytest.approx(told["cores"] * 0.05 / 100)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("streams", value) for value in (0, -1, 10**10)),
        *(("hz", value) for value in (0.0, -1.0, math.nan, math.inf, 1e308, 1e-320)),
        *(("full", value) for value in (0.0, 1.5, math.nan, 1e-320)),
        *((price, value) for price in ("core_price", "gpu_price") for value in (-1.0, math.nan, math.inf)),
    ],
)
def test_impossible_wishes_are_refused(name: str, value: float) -> None:
    """A plan for nothing, for more than all there is, or paid with what is no price: each is told by its name."""
    with pytest.raises(BadInput, match=f"^--{name.replace('_', '-')} lies between"):
        Wanted(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", RANGES)
@pytest.mark.parametrize("end", [0, 1])
def test_the_ends_of_every_range_are_planned(name: str, end: int) -> None:
    """Whatever is not refused is answered in JSON's own numbers."""
    told = plan(Wanted(**{"core_price": 1.0, name: RANGES[name][end]}))
    json.dumps(told, allow_nan=False)


def test_what_was_not_measured_is_not_guessed() -> None:
    """Another model or size is refused with those that there are, and how to measure it."""
    with pytest.raises(NotFound, match=r"256x256.*benchmarks/planning\.py"):
        plan(Wanted(size="1x1"))
    with pytest.raises(NotFound, match="seed"):
        plan(Wanted(model="nobody"))


def test_the_command_tells_people_and_programs() -> None:
    """A few lines, or one JSON object with all of it; each says what was measured on."""
    shown = CliRunner().invoke(command, ["--streams", "100", "--hz", "20"]).output
    assert "2000 frames/s" in shown
    assert "benchmarks/planning.py" in shown
    told = json.loads(CliRunner().invoke(command, ["--streams", "3", "--json"]).output)
    assert told["wanted"]["streams"] == 3
