"""The whole way for QuadSim: its client's bytes, driven by the city, to `fly --world quadsim` and a server process."""

from __future__ import annotations

import contextlib
import json
import math
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from quadfollow_sim import closed_loop
from quadfollow_sim.measures import VISIBLE
from quadfollow_sim.mission import MissionPlan, carry_out_mission, city_is_missing
from quadfollow_sim.quadsim.imitation.city_scene import CityScene, quad_near_target
from quadfollow_sim.quadsim.imitation.client import Imitation, Settings
from quadfollow_sim.quadsim.imitation.quad import State
from quadfollow_sim.quadsim.world import RATE
from quadfollow_sim.safety import freshness_window
from quadfollow_sim.server_process import ServerProcess, free_ports
from quadfollow_sim.venue import QuadSimPlan

SEED = 9
"""A street with nothing about that has the target's colours."""
SPEED = 0.1
"""Of QuadSim's simulation: slow, so that the target stays in view where the machine stands still for some seconds."""


@dataclass
class Flown:
    """A mission through QuadSim: what flew, what it saw, and what was reported."""

    simulator: Imitation
    scene: CityScene
    report: dict[str, Any]
    steps: list[dict[str, Any]]


def fly(
    out: Path,
    server: ServerProcess,
    is_enough: Callable[[Imitation], bool],
    is_known: Callable[[Imitation], bool] = lambda _: True,
    **options: Any,
) -> Flown:
    """Fly the imitation through a city until it is enough; then the server is stopped, which ends the flight.

    It ends as soon as ``is_known`` says that QuadSim knows.
    """
    (port,) = free_ports(1)
    scenes: list[CityScene] = []

    def make_scene() -> CityScene:
        scenes.append(CityScene("street", SEED))
        return scenes[0]

    plan = MissionPlan(
        quadsim=QuadSimPlan(f"127.0.0.1:{port}"),
        clock="real",
        seconds=240.0,
        rate=RATE,
        server=server.address,
        out=out,
        log=True,
        **options,
    )
    settings = Settings(port=port, speed=SPEED)
    with Imitation(make_scene, quad_near_target("street", SEED), settings) as simulator:
        with stopping(server, lambda: is_enough(simulator), lambda: is_known(simulator)):
            report = carry_out_mission(plan)
        rows = Path(report["flights"][0]["files"]["steps"]).read_text().splitlines()
    return Flown(simulator, scenes[0], report, [json.loads(row) for row in rows])


@contextlib.contextmanager
def stopping(server: ServerProcess, is_enough: Callable[[], bool], is_known: Callable[[], bool]) -> Iterator[None]:
    """Beside what goes on within, stop a server once it is enough, and have it given up once that is known."""
    over = threading.Event()

    def wait_for(what: Callable[[], bool]) -> None:
        while not (over.is_set() or what()):
            over.wait(0.02)

    def watch() -> None:
        wait_for(is_enough)
        server.stop()
        wait_for(is_known)
        patched.setattr(closed_loop, "GIVE_UP", 0.0)

    with pytest.MonkeyPatch.context() as patched:
        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def results(server: ServerProcess) -> float:
    """How many frames a server has answered."""
    metrics = httpx.get(f"{server.url}/metrics").text
    return sum(map(float, re.findall(r'^quadfollow_frames_total\{.*outcome="result"\} (\S+)$', metrics, re.MULTILINE)))


def number(step: dict[str, Any]) -> int:
    """Which of the imitation's pictures a step was about."""
    return int(step["name"].removeprefix("quadsim_"))


def pictures_until_told(flown: Flown) -> int:
    """How many pictures showed the target, one soon after the other, until QuadSim was told of her.

    What was answered too late, and what came before a pause, does not count: a machine that stands still begins anew.
    """
    shown, before, window = 0, 0.0, freshness_window(1 / RATE)
    for step in flown.steps:
        in_time = step["latency_ms"] is not None and step["latency_ms"] <= 1000 * window
        shown = shown if step["time"] - before <= window else 0
        shown = shown + 1 if in_time and flown.scene.visible[number(step)] >= VISIBLE else 0
        before = step["time"]
        if step["braking"] is None:
            return shown
    pytest.fail("QuadSim was never told")


@pytest.fixture
def server(colour_model: Path, tmp_path: Path) -> Iterator[ServerProcess]:
    """A server process of the model that knows the target by colour."""
    if missing := city_is_missing():
        pytest.skip(str(missing))
    with ServerProcess(tmp_path / "server.log", model=str(colour_model), device="cpu") as one:
        yield one


def test_quadsim_follows_until_the_server_dies(server: ServerProcess, tmp_path: Path) -> None:
    """Told after three pictures of the target, within half a metre of the truth; back on patrol without a server."""
    following: list[int] = []

    def followed_enough(simulator: Imitation) -> bool:
        if simulator.quad.state is State.FOLLOW:
            following.append(simulator.record.frames)
        return bool(following) and simulator.record.frames >= following[0] + 10

    def went_home(simulator: Imitation) -> bool:
        return simulator.quad.state is not State.FOLLOW and simulator.record.events[-1][0] == "delete_marker"

    flown = fly(tmp_path / "out", server, followed_enough, went_home)
    record, steps = flown.simulator.record, flown.steps
    events = [name for name, _ in record.events]
    followed = [state is State.FOLLOW for state in record.states if state is not State.PATROL]
    assert followed[:3] == [False, True, False]
    assert "object_lost" in events
    assert events[-1] == "delete_marker"
    assert record.ignored == 0

    assert pictures_until_told(flown) <= 3

    placed = [step for step in steps if step["state"] == "following" and step["place"] is not None]
    assert placed
    for step in placed:
        x, y, z = record.shown[number(step)].feet
        assert math.dist(step["place"], (x, y, z + 0.54 * 1.6)) < 0.5, step

    assert flown.report["server_gone"]
    assert steps[-1]["braking"] == "no fresh answer"
    assert {Path(path).stat().st_size > 0 for path in flown.report["files"].values()} == {True}


@pytest.mark.slow
def test_a_blind_network_leaves_quadsim_on_patrol(blind_model: Path, tmp_path: Path) -> None:
    """The negative control: pictures are answered, and no word goes out."""
    if missing := city_is_missing():
        pytest.skip(str(missing))
    with ServerProcess(tmp_path / "server.log", model=str(blind_model), device="cpu") as server:
        flown = fly(tmp_path / "out", server, lambda _: results(server) > 3, video=False)
    assert flown.report["flights"][0]["outcomes"]["result"] >= 3
    assert not flown.simulator.record.events
    assert State.FOLLOW not in flown.simulator.record.states
