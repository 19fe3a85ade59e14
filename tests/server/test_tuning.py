"""``quadfollow bench``: what it tries, what it measures and what it leaves behind; and how many threads fit."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from quadfollow_core.errors import BadInput, Unavailable
from quadfollow_server import cores, tuning
from quadfollow_server.tuning import Measured, Setting
from quadfollow_server.tuning_cli import bench


def test_every_number_of_threads_is_tried_and_the_best_is_saved(models: tuple[Path, Path], tmp_path: Path) -> None:
    """On the processor each number of threads is told, then measured; the file holds serve's environment."""
    saved = tmp_path / "best.env"
    options = ["--tune", "--device", "cpu", "--seconds", "0.01", "--save", str(saved), "--json"]
    ended = CliRunner().invoke(bench, ["--model", str(models[0]), *options], catch_exceptions=False)
    told = json.loads(ended.stdout)
    for count in tuning.thread_counts():
        assert f"trying --device cpu --variant plain --threads {count}\n" in ended.stderr
    tried = told["settings"]
    assert {one["threads"] for one in tried} == set(tuning.thread_counts())
    assert [one["p50_ms"] for one in tried] == sorted(one["p50_ms"] for one in tried)
    assert all(0 < one["p50_ms"] <= one["p99_ms"] for one in tried)
    assert told["best"][:4] == ["--device", "cpu", "--variant", "plain"]
    assert saved.read_text().splitlines()[:2] == ["QUADFOLLOW_SERVE_DEVICE=cpu", "QUADFOLLOW_SERVE_VARIANT=plain"]


def test_a_number_of_threads_is_refused_where_every_one_is_tried(models: tuple[Path, Path]) -> None:
    """What a command would pass over without a word is no option of it."""
    with pytest.raises(BadInput, match="--threads means nothing with --tune"):
        CliRunner().invoke(bench, ["--model", str(models[0]), "--tune", "--threads", "1"], catch_exceptions=False)


def test_without_tuning_it_measures_what_serve_would_take(models: tuple[Path, Path]) -> None:
    """One line of a table says what was taken, and what one frame takes."""
    options = ["--model", str(models[0]), "--device", "cpu", "--threads", "1", "--seconds", "0.01"]
    told = CliRunner().invoke(bench, options, catch_exceptions=False).stdout
    assert "best: quadfollow serve --device cpu --variant plain --threads 1" in told


def test_where_no_setting_runs_nothing_is_measured(models: tuple[Path, Path]) -> None:
    """The reason is told, and nothing of a measurement."""
    options = ["--tune", "--device", "tensorrt", "--seconds", "0.01"]
    ended = CliRunner().invoke(bench, ["--model", str(models[0]), *options])
    if ended.exit_code == 0:
        pytest.skip("this machine has TensorRT")
    assert isinstance(ended.exception, Unavailable)
    assert "runs in none of the settings: " in str(ended.exception)
    assert "measuring" not in ended.stderr


def test_a_lower_precision_is_the_best_only_where_it_is_clearly_faster() -> None:
    """A gain of a twentieth is not worth a lower precision; half the time is."""
    plain = Measured(Setting("cpu", "plain", 2), 10, 1.0, 1.0)
    eight = Setting("openvino", "int8", 2)
    assert tuning.best([Measured(eight, 10, 0.95, 1.0), plain]) is plain
    assert tuning.best([Measured(eight, 10, 0.5, 1.0), plain]).setting is eight


def test_threads_fit_a_containers_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container with the time of one core gets one thread unless asked for another; elsewhere all cores count."""
    limit = tmp_path / "cpu.max"
    monkeypatch.setattr(cores, "CGROUP", limit)
    monkeypatch.setattr(cores, "bound_cores", lambda: 4)
    monkeypatch.setattr(cores, "physical_cores", lambda: 4)
    assert (cores.inference_threads(), cores.share()) == (4, None)
    limit.write_text("max 100000\n")
    assert cores.inference_threads() == 4
    limit.write_text("100000 100000\n")
    assert (cores.inference_threads(), cores.inference_threads(3), cores.share()) == (1, 3, 1.0)


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="Linux tells which of its processors are one core")
def test_two_threads_of_one_core_count_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four processors that are two cores get two threads; where the system does not tell, each counts."""
    monkeypatch.setattr(cores, "CGROUP", tmp_path / "none")
    monkeypatch.setattr(cores, "CPUS", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    assert cores.inference_threads() == 4
    for number in range(4):
        topology = tmp_path / f"cpu{number}" / "topology"
        topology.mkdir(parents=True)
        (topology / "thread_siblings_list").write_text(f"{number % 2},{number % 2 + 2}\n")
    assert cores.inference_threads() == 2
