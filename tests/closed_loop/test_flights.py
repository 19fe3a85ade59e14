"""World, bridge and a real server together: what is reported is what happened, and right answers look right."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.sim_bridge.unhurried import ClientInStep

from quadfollow_core.errors import NotFound
from quadfollow_core.shipped import find_model
from quadfollow_core.stream_client import StreamClient
from quadfollow_server.running import RunningServer
from quadfollow_server.settings import Settings
from quadfollow_sim.bridge import fly
from quadfollow_sim.drawn import DrawnSource
from quadfollow_sim.flight import FlightPlan, carry_out
from quadfollow_sim.recording.source import read_pictures
from quadfollow_sim.report import summarise
from quadfollow_sim.save import save_frames
from quadfollow_sim.world import Observation, ScriptedSource

InStep = type[ClientInStep]


def walked(client: StreamClient, walk: list[Observation], *, depth: bool = False) -> dict[str, Any]:
    """The report of the whole walk, shown five times as fast as it was, to a client by whose clock none is too late."""
    shown = walk if depth else [replace(observation, depth=None) for observation in walk]
    with client:
        flight = fly(ScriptedSource(shown, 20.0), client, ask=lambda _: {"want": ["target", "people", "mask:png"]})
    report = summarise(flight)
    assert (report["frames"], report["answers"], report["skipped"]) == (len(walk), len(walk), 0)
    return report


def flown(server: RunningServer, out: Path, **options: Any) -> dict[str, Any]:
    """The report of a planned flight to a server, by default of the drawn street without a film."""
    return carry_out(FlightPlan(server=server.address, out=out, **({"world": "drawn", "video": False} | options)))


def served(model: Path | None) -> Settings:
    """Settings that serve one model on free ports; the shipped default for None."""
    models = () if model is None else (str(model),)
    return Settings(models=models, port=0, zmq_port=0, pub_port=0, device="cpu", threads=1)


def large(truth: dict[str, Any]) -> tuple[int, float]:
    """How many frames show 80 pixels of her or more, and in which share of them she was found."""
    sizes = [part for name, part in truth["by_size"].items() if int(name.rstrip("+").split("-")[0]) >= 80]
    frames = sum(part["frames"] for part in sizes)
    return frames, sum(part["frames"] * part["detection_rate"] for part in sizes) / frames


def test_a_model_that_knows_her_colours_finds_her(
    colour_server: RunningServer, walk: list[Observation], in_step: InStep
) -> None:
    """Over the whole walk she is found wherever she shows, and roughly placed by the height of what was found."""
    truth = walked(in_step(colour_server.address), walk)["truth"]
    frames, found = large(truth)
    assert frames > 15
    assert found > 0.95, truth
    assert truth["mean_iou"] > 0.5, truth
    assert truth["centroid_error_px"]["median"] < 6, truth
    assert truth["position_error_m"]["median"] < 1.5, truth
    assert set(truth["distance_source"]) == {"height"}


def test_depth_places_her_better_than_her_height(
    colour_server: RunningServer, walk: list[Observation], in_step: InStep
) -> None:
    """With measured depth the median error over ground is below 15 cm."""
    truth = walked(in_step(colour_server.address), walk, depth=True)["truth"]
    assert set(truth["distance_source"]) == {"depth"}
    assert truth["position_error_m"]["median"] < 0.15, truth


def test_a_blind_model_finds_nothing(blind_model: Path, walk: list[Observation], in_step: InStep) -> None:
    """The negative control: frames answered, detection and overlap zero, no errors to measure."""
    with RunningServer(served(blind_model)) as server:
        truth = walked(in_step(server.address), walk[::2])["truth"]
    assert truth["with_target"] > 10
    assert (truth["detection_rate"], truth["mean_iou"], truth["false_detections"]) == (0.0, 0.0, 0)
    assert (truth["centroid_error_px"], truth["position_error_m"]) == (None, None)


@pytest.mark.usefixtures("in_step")
def test_a_recording_gives_what_the_live_world_gives(colour_server: RunningServer, tmp_path: Path) -> None:
    """The saved clip replays to the same detections and overlap as the clip itself; only its poses are unknown."""
    save_frames(DrawnSource(1.2), tmp_path / "clip")
    live = flown(colour_server, tmp_path / "a", seconds=1.2, rate=20.0)["truth"]
    replayed = flown(colour_server, tmp_path / "b", world="replay", frames=tmp_path / "clip", rate=20.0)["truth"]
    assert replayed["detection_rate"] == live["detection_rate"] == 1.0
    assert replayed["mean_iou"] == pytest.approx(live["mean_iou"], abs=0.02)
    assert replayed["position_error_m"] is None


def recorded(path: Path) -> dict[bytes, Any]:
    """The target found in each picture of a recording."""
    return {shown.image: shown.answer["target"] for shown in read_pictures(path, "/camera/image")}


@pytest.mark.usefixtures("in_step")
def test_replaying_a_recording_gives_the_same_detections(colour_server: RunningServer, tmp_path: Path) -> None:
    """Picture by picture the same target to the last digit, its place in the world among it."""
    live, again = tmp_path / "live.mcap", tmp_path / "again.mcap"
    flown(colour_server, tmp_path / "a", seconds=2.0, depth=False, record=live)
    flown(colour_server, tmp_path / "b", world="replay", frames=live, speed=0.5, record=again)
    first, second = recorded(live), recorded(again)
    assert second == first
    assert any(target and target["world"] for target in second.values())


def test_the_servers_time_is_part_of_the_latency(colour_server: RunningServer, tmp_path: Path) -> None:
    """No frame was held by the server for longer than its answer took, and the stages are named."""
    report = flown(colour_server, tmp_path, seconds=1.2, log=True)
    assert {"decode_ms", "infer_ms", "locate_ms"} <= set(report["timings_ms"])
    rows = [json.loads(line) for line in Path(report["files"]["rows"]).read_text().splitlines()]
    answered = [row for row in rows if row["outcome"] == "result"]
    assert len(answered) == report["answers"] > 0
    assert all(0 < row["held_ms"] < row["latency_ms"] for row in answered)
    assert 0 < report["held_ms"]["p50"] < report["latency_ms"]["p50"]


@pytest.mark.usefixtures("in_step")
def test_an_unknown_model_is_an_error_per_frame(colour_server: RunningServer, tmp_path: Path) -> None:
    """Asking for a model the server does not have is reported as errors with its words, not as silence."""
    report = flown(colour_server, tmp_path, seconds=1.0, model="nobody")
    assert report["outcomes"]["error"] == report["frames"] > 5
    assert report["answers"] == 0
    assert any("nobody" in reason for reason in report["reasons"])


@pytest.mark.usefixtures("drawable")
def test_flights_through_the_city_of_which_nothing_was_answered_fail(
    colour_server: RunningServer, tmp_path: Path, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    """They end with 1 and say why, in the table too; the report has both."""
    how = ("--world", "city", "--flights", 2, "--seconds", 0.2, "--no-video", "--model", "nobody")
    assert run("fly", *how, "--server", colour_server.address, "--out", tmp_path) == 1
    printed = capsys.readouterr()
    error = printed.err.splitlines()[-1]
    assert all(word in error for word in ("none of 8 pictures", "8 x no model 'nobody' here", "--model"))
    assert "flight 2 without a result: 4 x no model 'nobody' here" in printed.out
    assert "{" not in printed.err
    flights = json.loads((tmp_path / "report.json").read_text())["flights"]
    assert [flight["outcomes"] for flight in flights] == [{"error": 4}] * 2


def test_the_shipped_model_finds_the_drawn_target(walk: list[Observation], in_step: InStep) -> None:
    """Trained on real frames only, it finds her in over nine tenths of the frames that show 80 pixels of her."""
    try:
        find_model()
    except NotFound:
        pytest.skip("no model is shipped yet")
    with RunningServer(served(None)) as server:
        frames, found = large(walked(in_step(server.address), walk)["truth"])
    assert frames > 15
    assert found > 0.9
