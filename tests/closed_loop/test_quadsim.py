"""The whole way for QuadSim: its client's bytes, driven by the city, to `fly --world quadsim` and a server process."""

from __future__ import annotations

import contextlib
import json
import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from quadfollow_sim.measures import VISIBLE
from quadfollow_sim.mission import MissionPlan, carry_out_mission, city_is_missing
from quadfollow_sim.quadsim.imitation.city_scene import CityScene, quad_near_target
from quadfollow_sim.quadsim.imitation.client import Imitation, Settings
from quadfollow_sim.quadsim.imitation.quad import State
from quadfollow_sim.quadsim.world import RATE
from quadfollow_sim.server_process import ServerProcess, free_ports
from quadfollow_sim.venue import QuadSimPlan

SEED = 9
"""A street with nothing about that has the target's colours."""


@dataclass
class Flown:
    """A mission through QuadSim: what flew, what it saw, and what was reported."""

    simulator: Imitation
    scene: CityScene
    report: dict[str, Any]
    steps: list[dict[str, Any]]


def fly(out: Path, server: ServerProcess, watch: Callable[[Imitation], bool] | None = None, **options: Any) -> Flown:
    """Fly the imitation through a city; a server is stopped as soon as ``watch`` says so."""
    (port,) = free_ports(1)
    scenes: list[CityScene] = []

    def make_scene() -> CityScene:
        scenes.append(CityScene("street", SEED))
        return scenes[0]

    plan = MissionPlan(
        quadsim=QuadSimPlan(f"127.0.0.1:{port}"),
        clock="real",
        rate=RATE,
        server=server.address,
        out=out,
        log=True,
        **options,
    )
    with Imitation(make_scene, quad_near_target("street", SEED), Settings(port=port)) as simulator:
        with stopping_when(lambda: watch is not None and watch(simulator), server):
            report = carry_out_mission(plan)
        rows = Path(report["flights"][0]["files"]["steps"]).read_text().splitlines()
    return Flown(simulator, scenes[0], report, [json.loads(row) for row in rows])


@contextlib.contextmanager
def stopping_when(holds: Callable[[], bool], server: ServerProcess) -> Iterator[None]:
    """Beside what goes on within, stop a server once something holds."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.02):
            if holds():
                server.stop()
                return

    thread = threading.Thread(target=watch)
    thread.start()
    yield
    over.set()
    thread.join()


def number(step: dict[str, Any]) -> int:
    """Which of the imitation's pictures a step was about."""
    return int(step["name"].removeprefix("quadsim_"))


def pictures_until_told(flown: Flown) -> int:
    """How many pictures showed the target, one after the other, until QuadSim was told of her."""
    shown = 0
    for step in flown.steps:
        shown = shown + 1 if flown.scene.visible[number(step)] >= VISIBLE else 0
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

    flown = fly(tmp_path / "out", server, followed_enough)
    record, steps = flown.simulator.record, flown.steps
    events = [name for name, _ in record.events]
    assert record.states[:3] == [State.LOOKING, State.FOLLOW, State.LOOKING]
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


def test_a_blind_network_leaves_quadsim_on_patrol(blind_model: Path, tmp_path: Path) -> None:
    """The negative control: pictures are answered, and no word goes out."""
    if missing := city_is_missing():
        pytest.skip(str(missing))
    with ServerProcess(tmp_path / "server.log", model=str(blind_model), device="cpu") as server:
        flown = fly(tmp_path / "out", server, seconds=2.0, video=False)
    assert flown.report["flights"][0]["outcomes"]["result"] > 3
    assert not flown.simulator.record.events
    assert set(flown.simulator.record.states) == {State.LOOKING}
