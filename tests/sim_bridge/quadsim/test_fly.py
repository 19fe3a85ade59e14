"""`fly --world quadsim` with the imitation at one end and a peer that knows red at the other."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click.testing
import pytest
from click.testing import CliRunner
from tests.sim_bridge.conftest import by_colour
from tests.sim_bridge.unhurried import PATIENCE, PROGRAM, PatientClient
from websockets.sync.client import connect

from quadfollow_core.cli import quadfollow
from quadfollow_core.errors import BadInput, Unavailable
from quadfollow_core.request import FrameRequest, Result
from quadfollow_core.track import Look, Track
from quadfollow_core.trackers import make_tracker
from quadfollow_core.types import Sighting
from quadfollow_sim import mission
from quadfollow_sim.quadsim.guide import Guide
from quadfollow_sim.quadsim.imitation.client import Imitation, Settings
from quadfollow_sim.quadsim.imitation.quad import Quad, State
from quadfollow_sim.quadsim.imitation.scene import ScriptedScene
from quadfollow_sim.quadsim.imitation.telemetry import GERMAN, Culture
from quadfollow_sim.quadsim.pose import WrongCulture
from quadfollow_sim.quadsim.space import AT_REST, QuadSimSpace
from quadfollow_sim.quadsim.world import QuadSimWorld
from quadfollow_sim.server_process import free_ports
from quadfollow_sim.vehicle import Brake, Command, Follow, Velocity
from quadfollow_sim.venue import QuadSimPlan

Wait = Callable[..., None]
PLACE = {"position_sigma": (0.1, 0.1, 0.1), "velocity_sigma": (0.1, 0.1, 0.1)}


def tracking() -> Callable[[FrameRequest], Result]:
    """Answer by colour and follow what was found, as a server does."""
    tracker = make_tracker()

    def answer(request: FrameRequest) -> Result:
        result = by_colour(request)
        sighting = Sighting.from_dict(result.body)
        track = tracker.update(Look(sighting, request.captured_at or 0.0, request.camera, 100 / 255))
        return Result(result.body | {"track": track.as_dict()}, result.mask_png)

    return answer


@pytest.fixture
def fly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[click.testing.Result, Imitation]]:
    """Run the command while an imitation flies that looks at a standing hero, and return what became of both.

    The flight is ended, as by Ctrl-C, as soon as there was ``enough`` of it, however long that takes.
    """
    monkeypatch.setattr(mission, "StreamClient", PatientClient)

    def run(
        address: str, *options: object, enough: Callable[[Imitation], bool], **settings: Any
    ) -> tuple[click.testing.Result, Imitation]:
        (port,) = free_ports(1)
        where = ("--world", "quadsim", "--listen", f"127.0.0.1:{port}", "--server", address, "--out", tmp_path)
        hero, quad, end = ScriptedScene(path=((6.0, 0.0),)), Quad(sweep=0.0), time.monotonic() + PATIENCE
        with Imitation(lambda: hero, quad, Settings(port=port, **settings)) as simulator:
            stop = contextlib.nullcontext(lambda: enough(simulator) or time.monotonic() > end)
            monkeypatch.setattr(mission, "stopping", lambda: stop)
            done = CliRunner().invoke(quadfollow, ["fly", *map(str, (*where, *options))])
        return done, simulator

    return run


def test_quadsim_is_flown_from_the_command_line(fly: Any, start_peer: Any) -> None:
    """It follows where the answers point and sees a box there; report, page and film are made, its truth untold."""
    peer = start_peer(tracking())

    def enough(simulator: Imitation) -> bool:
        follows = State.FOLLOW in simulator.record.states and simulator.record.markers
        return bool(follows) and len(peer.requests) > 5

    done, simulator = fly(peer.address, "--json", enough=enough)
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    (flight,) = report["flights"]
    assert simulator.record.states[:2] == [State.LOOKING, State.FOLLOW]
    assert {"object_detected", "create_box_marker"} <= {name for name, _ in simulator.record.events}
    assert flight["followed"] > 0
    assert (flight["in_view"], flight["position_error_m"]) == (None, None)
    assert flight["latency_ms"]["p50"] > 0
    assert (flight["connected"], flight["malformed"], flight["notices"]) == (1, 0, [])
    assert all(Path(path).stat().st_size > 0 for path in report["files"].values())
    assert {"report", "page", "video"} <= report["files"].keys()


def test_a_wrong_far_plane_is_told_and_reported(tmp_path: Path, fly: Any, start_peer: Any) -> None:
    """A build with 50 m at the default of 100 gets a notice with the remedy, on stderr and in the report."""
    peer = start_peer(tracking())
    done, _ = fly(peer.address, "--no-video", enough=lambda _: len(peer.requests) > 10, far=50.0)
    assert done.exit_code == 0, done.output
    assert "--far 50" in done.stderr
    assert "followed" in done.stdout
    report = json.loads((tmp_path / "report.json").read_text())
    assert "--far 50" in report["flights"][0]["notices"][0]


def test_a_decimal_comma_ends_the_flight_with_the_remedy(fly: Any, start_peer: Any) -> None:
    """The first frame of a German QuadSim is enough."""
    done, _ = fly(start_peer(tracking()).address, enough=lambda _: False, culture=GERMAN)
    assert isinstance(done.exception, WrongCulture)
    assert "LC_ALL=en_US" in str(done.exception)


def test_quadsim_is_not_waited_for_without_end(tmp_path: Path, start_peer: Any) -> None:
    """A simulator that does not come ends the command with 4, the address and the remedies."""
    (port,) = free_ports(1)
    where = ("--listen", f"127.0.0.1:{port}", "--server", start_peer().address, "--out", tmp_path)
    command = [sys.executable, "-c", PROGRAM, "fly", "--world", "quadsim", "--patience", "0.5", *map(str, where)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 4, done.stderr
    error = done.stderr.splitlines()[-1]
    assert all(word in error for word in ("no picture of QuadSim", f":{port}", "start it", "--patience"))


@pytest.mark.parametrize(("culture", "why"), [(Culture("~", "~"), "cannot be read"), (None, "sent none")])
def test_a_quadsim_that_connects_and_shows_nothing_is_not_missed(
    eventually: Wait, culture: Culture | None, why: str
) -> None:
    """What came is said, instead of how to start it: frames that cannot be read, or none."""
    with QuadSimWorld(port=0) as world, contextlib.ExitStack() as stack:
        if culture is None:
            stack.enter_context(connect(f"{world.address}?EIO=4&transport=websocket"))
            eventually(lambda: world.counts.clients == 1)
        else:
            settings = Settings(port=world.port, culture=culture)
            stack.enter_context(Imitation(ScriptedScene, settings=settings))
            eventually(lambda: world.poll(0.05) is None and world.counts.malformed > 0)
        space = QuadSimSpace(world, patience=0.0)
        with pytest.raises(Unavailable, match=f"it connected, but .*{why}"):
            space.wait(0.0)


@pytest.mark.parametrize(
    "wrong",
    [
        ("--preset", "plaza"),
        ("--rate", "9"),
        ("--listen", "4567"),
        ("--listen", "127.0.0.1:²"),
        ("--far", "0"),
        ("--far", "inf"),
        ("--frames", "."),
    ],
)
def test_what_means_nothing_to_quadsim_is_refused(tmp_path: Path, wrong: tuple[str, str]) -> None:
    """Before anything is opened."""
    done = CliRunner().invoke(quadfollow, ["fly", "--world", "quadsim", "--out", str(tmp_path / "out"), *wrong])
    assert isinstance(done.exception, BadInput)
    assert wrong[0] in str(done.exception)
    assert not (tmp_path / "out").exists()


def test_the_port_is_quadsims_own_unless_told_otherwise() -> None:
    """QuadSim looks at port 4567 of its own machine."""
    assert QuadSimPlan().address() == ("127.0.0.1", 4567)


def track(state: Any = "following", **more: Any) -> Track:
    """A sure track of a target that walks north at 1 m/s."""
    known = {"space": "world", "position": (5.0, 0.0, 0.9), "velocity": (0.0, 1.0, 0.0), **PLACE}
    return Track(state, 1.0, **(known | {"age": 0.0, "updates": 3, "confidence": 0.9} | more))


def said(*tracks: Track, mode: Any = "arm", late: float = 0.1) -> Command:
    """What a guide says after answers to frames a period apart, some time after the last."""
    guide = Guide(0.2)
    guide.order(mode)
    for number, one in enumerate(tracks):
        guide.hear(one, 0.2 * number, 0.2 * number)
        guide.command(AT_REST, 0.2 * number)
    return guide.command(AT_REST, 0.2 * (len(tracks) - 1) + late)


def test_the_guide_points_to_where_the_target_is_by_now() -> None:
    """The track is extrapolated from its picture to the command."""
    assert said(track(), late=0.5) == Follow((5.0, 0.5, 0.9))
    told = said(track(), track("coasting", age=0.2))
    assert isinstance(told, Follow)
    assert told.point == pytest.approx((5.0, 0.1, 0.9))


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (lambda: said(track(), late=0.9), "no fresh answer"),
        (lambda: said(track(confidence=0.3)), "not sure enough yet"),
        (lambda: said(track(updates=2)), "not sure enough yet"),
        (lambda: said(track(), track("lost", age=3.0)), "lost"),
        (lambda: said(track(), mode="hold"), "disarmed"),
    ],
    ids=["stale", "unsure", "new", "lost", "unarmed"],
)
def test_the_guide_says_nothing_it_is_not_sure_of(command: Callable[[], Command], reason: str) -> None:
    """Stale, unsure and lost tracks are no place to go to."""
    assert command() == Brake(reason)


@pytest.mark.parametrize("armed", [True, False])
def test_the_first_word_is_earned_under_arms(armed: bool) -> None:
    """A sure track that was heard before the order to arm does not vouch for an unsure one after it."""
    guide = Guide(0.2)
    if armed:
        guide.order("arm")
    guide.hear(track(), 0.0, 0.0)
    guide.command(AT_REST, 0.0)
    guide.order("arm")
    guide.hear(track(confidence=0.3), 0.2, 0.2)
    assert isinstance(guide.command(AT_REST, 0.2), Follow) == armed


def test_lost_is_said_once(eventually: Wait) -> None:
    """QuadSim hears of a loss when it begins, and not again."""
    with QuadSimWorld(port=0) as world:
        space = QuadSimSpace(world)
        with Imitation(ScriptedScene, settings=Settings(port=world.port)) as simulator:
            assert space.wait(PATIENCE)
            for command in (Brake(), Follow((6.0, 0.0, 0.8)), Brake(), Brake()):
                space.command(command)
            eventually(lambda: len(simulator.record.events) >= 4)
            assert space.wait(PATIENCE)
        names = [name for name, _ in simulator.record.events]
    assert names == ["object_detected", "create_box_marker", "object_lost", "delete_marker"]


def test_quadsim_is_over_when_it_falls_silent(eventually: Wait) -> None:
    """Not before its first frame, however long that takes."""
    with QuadSimWorld(port=0) as world:
        space = QuadSimSpace(world, silence=0.2)
        assert not space.wait(0.3)
        assert (space.over, space.time) == (False, 0.0)
        with Imitation(ScriptedScene, settings=Settings(port=world.port)):
            assert space.wait(PATIENCE)
            assert space.own.position == pytest.approx((0.0, 0.0, 3.0))
            assert space.own.tilt == pytest.approx(0.52, abs=0.02)
        eventually(lambda: not space.wait(0.0) and space.over)


def test_quadsim_takes_points_alone() -> None:
    """It cannot be flown by velocities, nor looked through before it showed anything."""
    with QuadSimWorld(port=0) as world:
        space = QuadSimSpace(world)
        with pytest.raises(BadInput, match="points to follow"):
            space.command(Velocity((1.0, 0.0, 0.0)))
        with pytest.raises(BadInput, match="wait for a picture"):
            space.capture()
