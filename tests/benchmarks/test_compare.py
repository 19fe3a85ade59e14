"""What the benchmarks make of made-up loads, errors among them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any, cast

import breakdown
import hostile
import latency
import numpy as np
import pytest
import scale
import serve
import stream
import viewers
from measuring import results, servers
from measuring.load import Plan
from measuring.servers import Process, file_run, weighed
from measuring.summaries import percentiles

from quadfollow_core.errors import Unavailable
from quadfollow_core.shipped import find_model
from quadfollow_server.cores import bound_cores
from quadfollow_server.segmenter import Device

PLAN = Plan("http", "", 0, ())


def load(latencies: list[float], *, errors: int = 0, seconds: float = 2.0, cpu: float = 1.0) -> dict[str, Any]:
    """One turn's load; an answer costs the server so many milliseconds, and the client one."""
    return {
        "latencies": latencies,
        "errors": errors,
        "seconds": seconds,
        "cpu_ms": 1.0,
        "server_cpu_ms": cpu,
        "memory_mb": 100.4,
    }


def test_ratios_are_taken_round_by_round_and_above_1_ours_is_better() -> None:
    """Twice the answers in half the time at a third of the cost, in a quick round as in a slow one."""
    ours = [load([10.0] * 200, errors=7), load([20.0] * 100)]
    theirs = [load([20.0] * 100, cpu=5.0), load([40.0] * 50, cpu=5.0)]
    found = serve.against(ours, theirs)
    assert found is not None
    assert {name: (one["low"], one["high"]) for name, one in found.items()} == {
        "per_second": (2, 2),
        "cpu": (3, 3),
    }


def test_tails_are_compared_over_all_rounds() -> None:
    """A hundred answers of one round have no 99th percentile, three times as many have one."""
    ours, theirs = percentiles([10.0] * 300), percentiles([20.0] * 290 + [50.0] * 10)
    assert serve.tails(theirs, ours) == 5
    assert serve.tails(percentiles([20.0] * 100), ours) is None


def test_too_few_answers_are_not_compared() -> None:
    """A round in which a server refused nearly everything has no ratio."""
    assert serve.against([load([1.0] * 50)], [load([1.0] * 4, errors=90)]) is None


def test_the_bound_is_reached_where_nothing_else_costs_anything() -> None:
    """Cores that spend 10 ms on each answer give 100 a second each; half as many answers reach half of that."""
    floors = [{"session_ms": 7.0, "decode_ms": 2.0}]
    whole = serve.of_bound(floors, [load([10.0] * 200 * bound_cores(), cpu=9.0)])
    half = serve.of_bound(floors, [load([10.0] * 100 * bound_cores(), cpu=19.0)])
    assert (whole["reached"]["median"], whole["cost"]["median"]) == (1, 1)
    assert (half["reached"]["median"], half["cost"]["median"]) == (0.5, 0.5)


def test_a_comparison_has_all_ways_errors_and_ratios_of_others_only() -> None:
    """The floor is no way; refusals are added up; ours is not compared with itself."""
    taken = {
        serve.OURS: [load([10.0] * 200), load([10.0] * 200)],
        serve.HTTP_TARGET: [load([10.0] * 200)] * 2,
        "other": [load([20.0] * 100, errors=3), load([20.0] * 100, errors=4)],
        serve.FLOOR: [{"session_ms": 5.0, "decode_ms": 1.0}] * 2,
    }
    found = serve.compare(taken, 4)
    assert set(found["ways"]) == {serve.OURS, serve.HTTP_TARGET, "other"}
    assert found["ways"]["other"]["errors"] == 7
    assert set(found["ratios"]) == {"other"}
    assert set(found["of_bound"]) == {serve.OURS, serve.HTTP_TARGET}
    head, _, ours, _, other, *_ = serve.one_table(found).splitlines()
    cells = dict(zip(head.split(" | "), other.split(" | "), strict=True))
    assert (cells["errors"], cells["p99, ms"], cells["their p99 / ours"]) == ("7", "–", "–")
    assert " | 10.00 | 10.00 | " in ours


class Weighed:
    """A server in name only, whose clock goes on by 3 s with each look after the first."""

    def __init__(self) -> None:
        self.looks = 0
        self.memory_mb = 50.0

    @property
    def cpu_seconds(self) -> float:
        """Processor time."""
        self.looks += 1
        return 3.0 * self.looks

    def wait_idle(self) -> None:
        """It always is."""


def test_processor_time_is_that_of_answers_and_refusals_do_not_make_them_cheap(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """3 s for 30 answers and 270 refusals are 100 ms for an answer, not 10 ms."""
    told = {"latencies": [5.0] * 20, "errors": 180, "asked": 300, "answered": 30, "seconds": 1.0}
    monkeypatch.setattr(servers, "put_load", lambda plan: dict(told))
    found = weighed(cast(Process, Weighed()), PLAN)
    assert found["server_cpu_ms"] == 100
    way = scale.summary([found, found])
    assert (way["errors"], way["ms"]["count"], way["per_second"]["median"]) == (360, 40, 20)
    text = scale.table({"figures": {"ways": {"HTTP clients | 64": way}}})
    assert "| HTTP clients | 64 | 20 [20, 20] | 360 | 5.00 | – | 100.00 [100.00, 100.00] | 50 |" in text


def ticking(clock: Iterator[float]) -> property:
    """A clock that tells another time at each look."""
    return property(lambda _: next(clock))


def test_a_server_is_idle_once_its_clock_stands_still(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """While it still works off what it was asked, it is waited for; one that never rests is given up."""
    monkeypatch.setattr(servers, "IDLE_LOOK", 0.01)
    monkeypatch.setattr(servers, "IDLE_SECONDS", 0.5)
    resting, restless = iter([0.0, 0.1, 0.2, 0.2, 9.0]), count()
    for clock in (resting, restless):
        monkeypatch.setattr(Process, "cpu_seconds", ticking(clock))
        Process([], 0, tmp_path / "log").wait_idle()
    assert next(resting) == 9.0
    assert next(restless) > 4


def test_streams_are_summed_up_with_the_worst_camera_and_every_fate() -> None:
    """Two cameras over two rounds; one that had no answer leaves the worst camera's percentile unknown."""
    good = {"ages": [10.0] * 100, "offered": 100, "outcomes": {"result": 100}}
    bad = {"ages": [30.0] * 50, "offered": 100, "outcomes": {"result": 50, "dropped": 49, "error": 1}}
    found = stream.summary([{"streams": [good, bad], "memory_mb": 80.0}, {"streams": [good, good]}], seconds=5.0)
    assert found["outcomes"] == {"result": 350, "dropped": 49, "error": 1}
    assert (found["worst_p95_ms"], found["age_ms"]["count"]) == (30, 350)
    assert found["per_second"] == {"median": 35, "low": 30, "high": 40}
    assert (found["answered_share"]["low"], found["answered_share"]["high"]) == (0.5, 1)
    silent = {"ages": list[float](), "offered": 100, "outcomes": {"error": 100}}
    lost = stream.summary([{"streams": [good, silent]}], seconds=5.0)
    assert (lost["worst_p95_ms"], lost["memory_mb"], lost["outcomes"]["error"]) == (None, None, 100)


def test_viewers_that_cost_a_fifth_are_seen_with_an_interval_around_it() -> None:
    """The ratio of the percentiles over all rounds, and an interval that holds it; alike, the ratio is one."""
    rng = np.random.default_rng(1)
    alone = [rng.normal(20, 1, 60) for _ in range(10)]
    found = viewers.compare(alone, [1.2 * one for one in alone])
    for share in ("p50", "p99"):
        low, high = found[share]["interval"]
        assert found[share]["ratio"] == pytest.approx(1.2)
        assert low <= found[share]["ratio"] <= high
    assert found["frames"] == [600, 600]
    assert viewers.compare(alone, alone)["p50"]["interval"] == [1, 1]


def test_a_server_that_stands_still_is_seen_in_all_that_was_due_meanwhile() -> None:
    """A client of 5 frames a second that waits 2 s leaves nine out, which would have waited 1.8 to 0.2 s."""
    still = hostile.summary([20.0] * 90 + [2000.0], rate=5.0)
    assert (still["answers"], still["p50_ms"]) == (91, 20)
    assert still["p95_ms"] == pytest.approx(1000, abs=50)
    assert hostile.summary([20.0] * 90 + [200.0], rate=5.0)["p95_ms"] == 20
    assert hostile.summary([2000.0], rate=0)["p50_ms"] == 2000


def test_a_door_is_compared_with_its_bare_loop_round_by_round() -> None:
    """A machine that is twice as slow in one round moves both; old results without the difference are shown too."""
    taken = {name: [[1.0], [2.0]] for name in (latency.SESSION, *latency.BARE.values())}
    found = latency.summary(taken | {"ZeroMQ": [[1.5], [2.5]], "HTTP": [[3.0], [5.0]]})
    assert found["beyond_bare_ms"] == {
        "ZeroMQ": {"median": 0.5, "low": 0.5, "high": 0.5},
        "HTTP": {"median": 2.5, "low": 2, "high": 3},
    }
    new = latency.table({"figures": {"models": [{"model": "m", **found}]}})
    assert "2.50 [2.00, 3.00] | 2.50 [2.00, 3.00] |" in new
    del found["beyond_bare_ms"]
    assert "2.50 [2.00, 3.00] | – |" in latency.table({"figures": {"models": [{"model": "m", **found}]}})


def test_a_server_that_runs_otherwise_than_the_session_is_refused() -> None:
    """Another variant is another amount of work, and what it adds would be no door's."""
    session = Device("auto", "OpenVINO", "", "openvino", "int8")
    latency.require_same(session, {"name": "openvino", "variant": "int8"})
    with pytest.raises(Unavailable, match="bf16"):
        latency.require_same(session, {"name": "openvino", "variant": "bf16"})


def test_stages_have_brackets_where_there_were_rounds() -> None:
    """Old results have none."""
    rounds = [[{"decode_ms": 0.2}, {"decode_ms": 0.2}], [{"decode_ms": 0.4}]]
    door = breakdown.summary(rounds)
    assert breakdown.median(door, "decode") == "300 [200, 400]"
    del door["rounds"]
    assert breakdown.median(door, "decode") == "200"


def test_the_file_that_a_variant_runs_is_known_by_its_content() -> None:
    """A plain variant runs the model's own file, an 8-bit one another, with a version of its own."""
    import page  # not before: it loads what exports too, whose packages bring a `tests` of their own

    model = find_model("follow-256")
    own = file_run(model, {"name": "cpu", "variant": "plain"})
    lower = file_run(model, {"name": "openvino", "variant": "int8"})
    assert (own["file"], lower["file"]) == ("follow-256.onnx", "follow-256.int8.onnx")
    assert own["version"] != lower["version"]
    served = {"file": own["file"], "version": own["version"], "device": {"provider": "P", "variant": "int8"}}
    assert page.version_of({"figures": {"served": served}}).endswith("in variant `int8`")
    told = page.version_of({"figures": {"served": served | {"runs": lower}}})
    assert told.endswith(f"(`follow-256.int8.onnx`, version `{lower['version']}`)")
    assert page.version_of({"figures": {"served": served | {"runs": own}}}).endswith("in variant `int8`")


def test_the_page_says_what_others_did_meanwhile_if_it_was_watched() -> None:
    """Results from before it was watched say what is known of them; much of it has a warning at the top."""
    import page  # not before: it loads what exports too, whose packages bring a `tests` of their own

    result = results.load("scale")
    assert result is not None
    result.pop("meanwhile", None)
    assert page.circumstances(result).endswith("just after.")
    assert page.quietness({"scale": result}) == []
    noisy = result | {"meanwhile": {"others": 0.31, "stolen": 0.02}}
    assert "31.0 % while it was measured, 2.0 % of it was withheld" in page.circumstances(noisy)
    assert "up to 31 %" in page.quietness({"scale": noisy})[0]
