"""City, bridge, pilot and a real server: what follows, what must not, and what happens when the server dies.

Flights are in lockstep, so their length is simulated time. Tolerances are physical.
"""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from quadfollow_core.cli import quadfollow
from quadfollow_core.errors import ServerGone
from quadfollow_core.shipped import find_model
from quadfollow_core.stream_client import StreamClient
from quadfollow_server.model_file import read_contract
from quadfollow_server.running import RunningServer
from quadfollow_server.settings import Settings
from quadfollow_sim import bridge, mission
from quadfollow_sim.city.airspace import CityAirspace
from quadfollow_sim.city.city import City
from quadfollow_sim.closed_loop import ClosedLoop
from quadfollow_sim.eyes import NetworkEyes
from quadfollow_sim.measures import flights_table
from quadfollow_sim.mission import MissionPlan, carry_out_mission
from quadfollow_sim.pilot import Pilot
from quadfollow_sim.server_process import ServerProcess
from quadfollow_sim.sortie import Sortie

RATE = 20.0
pytestmark = pytest.mark.usefixtures("drawable")


@pytest.fixture
def street() -> Iterator[CityAirspace]:
    """A street with nobody about who is dressed like the target."""
    world = CityAirspace(City("street", 1))
    yield world
    world.close()


def flown(out: Path, **options: Any) -> dict[str, Any]:
    """The report of a mission without a film."""
    return carry_out_mission(MissionPlan(out=out, **({"video": False} | options)))


def test_a_perfect_mask_is_followed(tmp_path: Path) -> None:
    """Two streets, 8 s each: always in view, placed within 15 cm, nothing touched; the report lies where it says."""
    report = flown(tmp_path, eyes="truth", flights=2, seconds=8.0, seed=1, log=True)
    overall = report["overall"]
    assert overall["in_view"]["mean"] > 0.97, report["flights"]
    assert overall["position_error_m"]["mean"] < 0.15
    assert overall["collisions"]["mean"] == 0
    assert [flight["seed"] for flight in report["flights"]] == [1, 2]
    assert json.loads(Path(report["files"]["report"]).read_text()) == report
    assert len(Path(report["flights"][1]["files"]["steps"]).read_text().splitlines()) == 160


@pytest.mark.parametrize("eyes", [pytest.param("blind", marks=pytest.mark.slow), "mirrored"])
def test_wrong_eyes_do_not_follow(tmp_path: Path, eyes: str) -> None:
    """The negative controls: out of view most of the time, and lost for more than three seconds."""
    (flight,) = flown(tmp_path, eyes=eyes, seconds=15.0)["flights"]
    assert flight["in_view"] < 0.5
    assert flight["longest_loss_s"] > 3
    assert flight["collisions"] == 0


def test_lockstep_gives_the_same_flight_again(tmp_path: Path) -> None:
    """The same seed, the same measures."""
    one, other = (flown(tmp_path, eyes="truth", seconds=2.0)["flights"][0] for _ in range(2))
    timing = ("latency_ms", "lag_ms")
    assert {key: one[key] for key in one if key not in timing} == {key: other[key] for key in one if key not in timing}


class Ending(io.StringIO):
    """Standard error that stops a server as soon as the first flight is told of."""

    def __init__(self, server: RunningServer, patch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self._server, self._patch = server, patch

    def write(self, text: str) -> int:
        """Look at what is told."""
        if text.startswith("flight 1 of 2"):
            self._server.stop()
            self._patch.setattr(mission, "require_server", partial(bridge.require_server, seconds=0.2))
        return super().write(text)


def test_the_report_of_a_flight_outlives_a_server_that_dies_before_the_next(
    tmp_path: Path, colour_server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was flown is told, and so is that the rest was not."""
    with contextlib.redirect_stderr(Ending(colour_server, monkeypatch)), pytest.raises(ServerGone):
        flown(tmp_path, server=colour_server.address, flights=2, seconds=0.5, record=tmp_path / "a.mcap")
    report = json.loads((tmp_path / "report.json").read_text())
    assert [flight["number"] for flight in report["flights"]] == [1]
    assert report["flights"][0]["recording"]["pictures"] > 0


@pytest.mark.parametrize("failing", [1, 2])
def test_the_report_of_a_flight_outlives_whatever_ends_the_next(tmp_path: Path, failing: int) -> None:
    """Here a folder that cannot be made; without a flight there is nothing to report."""
    (tmp_path / f"flight_{failing:02d}").write_text("in the way")
    with pytest.raises(FileExistsError):
        flown(tmp_path, eyes="truth", flights=2, seconds=0.5)
    assert (tmp_path / "report.json").exists() == (failing == 2)
    if failing == 2:
        report = json.loads((tmp_path / "report.json").read_text())
        assert [flight["number"] for flight in report["flights"]] == [1]


def over_the_wire(server: RunningServer, world: CityAirspace, seconds: float, ends: float | None = None) -> Sortie:
    """A flight behind a server, which may be stopped at a time of the city; until then its answers are waited for."""

    def watch(*_: object) -> None:
        if ends is not None and world.time >= ends:
            server.stop()
            client._timeout = 0.5

    pilot = Pilot(1 / RATE, surroundings=world.surroundings)
    pilot.order("arm")
    with StreamClient(server.address) as client:
        return ClosedLoop(world, NetworkEyes(client), pilot, rate=RATE, witnesses=(watch,)).fly(seconds)


def test_a_server_leads_through_the_city(colour_server: RunningServer, street: CityAirspace) -> None:
    """A model that knows her colours alone: pictures, tracks and times of the city go over the wire and come back."""
    sortie = over_the_wire(colour_server, street, 5.0)
    assert {step.outcome for step in sortie.steps} == {"result"}
    assert [step.state for step in sortie.steps].count("following") > 50
    assert street.own.position != pytest.approx(sortie.steps[0].position, abs=0.5)
    assert not sortie.server_gone


def test_a_killed_server_leaves_a_hovering_drone(colour_model: Path, street: CityAirspace) -> None:
    """Within half a second of the city's time, and a picture, it brakes; then it hovers where it stopped."""
    settings = Settings(models=(str(colour_model),), port=0, zmq_port=0, pub_port=0, device="cpu", threads=1)
    with RunningServer(settings) as server:
        sortie = over_the_wire(server, street, 7.5, ends=3.0)
    last = max(step.time for step in sortie.steps if step.outcome == "result")
    assert last == pytest.approx(3.0, abs=0.2)
    after = [step for step in sortie.steps if step.time > last + 0.5 + 1 / RATE]
    assert len(after) > 40
    assert {step.braking for step in after} == {"no fresh answer"}
    assert max(step.speed for step in sortie.steps if step.time < last) > 0.5, "it flew nowhere before"
    assert all(step.speed < 0.3 for step in after if step.time > last + 2.5)
    assert sortie.server_gone
    assert street.collisions == ()


def test_without_a_server_nothing_flies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mission behind a network needs one."""
    monkeypatch.setattr(mission, "require_server", partial(bridge.require_server, seconds=0.2))
    with pytest.raises(ServerGone, match="quadfollow serve"):
        flown(tmp_path, server="tcp://127.0.0.1:1", seconds=1.0)


def test_the_command_prints_one_object(tmp_path: Path) -> None:
    """`fly --json` has what others rely on, per flight and overall."""
    options = ("--eyes", "truth", "--flights", "2", "--seconds", "0.5", "--out", str(tmp_path), "--json")
    done = CliRunner().invoke(quadfollow, ["fly", "--world", "city", *options])
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    names = {"in_view", "position_error_m", "losses", "collisions", "latency_ms"}
    assert names <= report["overall"].keys()
    assert all(names <= flight.keys() for flight in report["flights"])
    assert Path(report["flights"][1]["files"]["video"]).stat().st_size > 0


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("preset", ["plaza", "street", "crowd", "dusk", "wind"])
def test_a_perfect_mask_follows_everywhere(tmp_path: Path, preset: str) -> None:
    """Three minutes in each kind of city: the ceiling that a network is held against."""
    report = flown(tmp_path, eyes="truth", preset=preset, flights=3, seconds=60.0, seed=100)
    assert report["overall"]["in_view"]["mean"] > 0.95, report["flights"]
    assert report["overall"]["position_error_m"]["mean"] < 0.2
    assert report["overall"]["collisions"]["mean"] == 0
    assert report["overall"]["not_recovered"] == 0


def test_in_real_time_latency_and_lag_are_told(colour_model: Path, tmp_path: Path) -> None:
    """Beside the real clock, the server a process of its own: pictures have fates, lateness is counted and told."""
    answered: list[dict[str, Any]] = []
    with ServerProcess(tmp_path / "server.log", model=str(colour_model), device="cpu") as server:
        while not answered:  # a machine that stood still flies once more
            report = flown(tmp_path, server=server.address, seconds=2.0, clock="real", log=True)
            (flight,) = report["flights"]
            steps = [json.loads(line) for line in Path(flight["files"]["steps"]).read_text().splitlines()]
            answered = [step for step in steps if step["outcome"] == "result"]
    assert all(step["latency_ms"] > 0 for step in answered)
    assert len(steps) == flight["frames"] == sum(flight["outcomes"].values())
    told = flights_table(report)
    assert "capture to command" in told
    assert f"{flight['skipped']} skipped" in told


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_shipped_model_follows_through_the_city(tmp_path: Path) -> None:
    """Two streets, 20 s each, with the network's eyes: in view, well placed, nothing touched."""
    if not any(name.startswith("city") for name in read_contract(find_model()).training["recipe"]["folders"]):
        pytest.skip("the shipped model was not trained on the city")
    with ServerProcess(tmp_path / "server.log") as server:
        report = flown(tmp_path, server=server.address, flights=2, seconds=20.0)
    overall = report["overall"]
    assert overall["in_view"]["mean"] > 0.9, report["flights"]
    assert overall["position_error_m"]["mean"] < 0.3, report["flights"]
    assert overall["collisions"]["mean"] == 0
