"""QuadSim as a world, with the imitation at the other end of a real socket."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from tests.sim_bridge.unhurried import PATIENCE

from quadfollow_core.request import parse_request
from quadfollow_sim.quadsim.commands import Box
from quadfollow_sim.quadsim.imitation.client import PING_PAUSE, PONG_POLL, WATCHDOG, Imitation, Settings
from quadfollow_sim.quadsim.imitation.quad import Quad, State
from quadfollow_sim.quadsim.imitation.scene import RED, ScriptedScene
from quadfollow_sim.quadsim.imitation.telemetry import GERMAN, Culture
from quadfollow_sim.quadsim.pose import Attitude, WrongCulture
from quadfollow_sim.quadsim.world import QuadSimWorld
from quadfollow_sim.world import Observation, Point, known_fields

Wait = Callable[..., None]


@contextlib.contextmanager
def flying(world: QuadSimWorld, scene: ScriptedScene | None = None, **settings: object) -> Iterator[Imitation]:
    """Let an imitation connect to a world; it looks ahead until it follows, and unless told otherwise is patient."""
    made = ScriptedScene() if scene is None else scene
    known: dict[str, Any] = {"port": world.port, "watchdog": PATIENCE} | settings
    with Imitation(lambda: made, Quad(sweep=0.0), Settings(**known)) as one:
        yield one


def find(observation: Observation) -> Point | None:
    """Stand in for the network and locate: the red pixels' middle, at their depth, in the world frame."""
    pixels = observation.pixels().astype(int)
    rows, columns = np.nonzero(np.abs(pixels - RED).sum(axis=2) < 60)
    if rows.size < 20 or observation.depth is None or observation.camera is None:
        return None
    assert observation.camera.pose is not None
    metres = float(np.median(observation.depth.values[rows, columns])) * observation.depth.scale
    ray = observation.camera.intrinsics.unproject(columns.mean() + 0.5, rows.mean() + 0.5)
    x, y, z = observation.camera.pose.world_from_camera(ray * metres)
    return float(x), float(y), float(z)


def read(world: QuadSimWorld) -> Observation:
    """Read a frame that must come."""
    observation = world.poll(PATIENCE)
    assert observation is not None
    return observation


def test_frames_arrive_as_observations(world: QuadSimWorld) -> None:
    """Picture, depth and camera are all there, captured just now, and make a request the server takes."""
    before = time.monotonic()
    with flying(world):
        first, second = read(world), read(world)
    assert first.name != second.name
    assert before < first.captured < second.captured < time.monotonic()
    assert second.pixels().shape == (256, 256, 3)
    fields = known_fields(second)
    request = parse_request(fields | {"depth": fields.pop("depth_header")}, b"", fields.pop("depth"))
    assert request.camera is not None
    assert request.camera.pose is not None


def test_the_drone_follows_and_coordinates_are_within_half_a_metre(world: QuadSimWorld) -> None:
    """Told of the first frame's target, it follows the walking hero, about 3 m behind, some 32 degrees down."""
    scene = ScriptedScene(path=((6.0, 0.0), (1000.0, 0.0)))
    with flying(world, scene) as simulator:
        errors: list[float] = []
        enough = math.inf
        while simulator.hero is None or simulator.hero.feet[0] < enough:
            observation = read(world)
            point = find(observation)
            assert point is not None
            world.follow(point)
            x, y, z = simulator.record.shown[int(observation.name.removeprefix("quadsim_"))].feet
            errors.append(math.dist(point, (x, y, z + 0.8)))
            enough = min(enough, x + 6.0)  # four seconds of hers
        assert simulator.record.states == [State.LOOKING, State.FOLLOW]
        assert simulator.record.disbelieved == 0
        assert simulator.hero is not None
        behind = math.dist(simulator.quad.position[:2], simulator.hero.feet[:2])
    assert max(errors) < 0.5, errors
    assert 2.5 < behind < 3.6, behind
    assert 25 < math.degrees(simulator.quad.camera_pitch) < 40


def test_a_detection_is_believed_only_while_the_true_hero_is_in_sight(world: QuadSimWorld, eventually: Wait) -> None:
    """Behind a wall, or out of the view, no word makes it follow."""
    scene = ScriptedScene(path=((6.0, 0.0),), walls=((3.0, -5.0, 3.0, 5.0),))
    with flying(world, scene) as simulator:
        read(world)
        world.follow((6.0, 0.0, 1.0))
        eventually(lambda: simulator.record.disbelieved == 1)
    assert simulator.record.states == [State.LOOKING]


def test_lost_sends_it_back_to_patrol(world: QuadSimWorld, eventually: Wait) -> None:
    """Following ends at our word."""
    with flying(world) as simulator:
        read(world)
        world.follow((6.0, 0.0, 1.0))
        eventually(lambda: simulator.quad.state is State.FOLLOW)
        world.lost()
        eventually(lambda: simulator.record.states[:3] == [State.LOOKING, State.FOLLOW, State.LOOKING])
    assert [name for name, _ in simulator.record.events] == ["object_detected", "object_lost"]


def test_pongs_flow_while_the_consumer_is_busy(world: QuadSimWorld) -> None:
    """Pings are answered for longer than QuadSim's watchdog allows without, though nobody looks at any frame."""
    assert 5 * (PING_PAUSE + PONG_POLL) > WATCHDOG
    with flying(world) as simulator:
        read(world)
        pongs, skipped, end = simulator.record.pongs, world.skipped, time.monotonic() + PATIENCE
        while simulator.record.pongs < pongs + 5 or world.skipped < skipped + 5:
            sum(range(10_000))  # a consumer that keeps the interpreter busy too
            assert time.monotonic() < end


def test_a_dead_server_sends_it_back_to_patrol_and_it_returns(eventually: Wait) -> None:
    """After the watchdog's time without pongs it patrols, and finds a new server at the same place."""
    with contextlib.ExitStack() as stack:
        with QuadSimWorld(port=0) as world:
            port = world.port
            simulator = stack.enter_context(flying(world, watchdog=1.0))
            read(world)
            world.follow((6.0, 0.0, 1.0))
            eventually(lambda: State.FOLLOW in simulator.record.states)
        eventually(lambda: simulator.record.states[:3] == [State.LOOKING, State.FOLLOW, State.LOOKING])
        with QuadSimWorld(port=port) as world:
            read(world)
        assert simulator.record.connections >= 2


def test_a_decimal_comma_is_a_clear_error(world: QuadSimWorld) -> None:
    """A German QuadSim is told what to do, at its first frame."""
    with flying(world, culture=GERMAN), pytest.raises(WrongCulture, match=r"decimal commas.*LC_ALL=en_US"):
        read(world)


def test_a_wrong_far_plane_is_told_once(world: QuadSimWorld) -> None:
    """A build with 50 m at our setting of 100 is found out in a few frames, and frames go on."""
    with flying(world, far=50.0):
        for _ in range(8):
            read(world)
    assert len(world.notices) == 1
    assert "Set the far plane to 50 m" in world.notices[0]


def test_malformed_frames_are_passed_over_and_counted(world: QuadSimWorld, eventually: Wait) -> None:
    """Frames that cannot be read delay the next good one and nothing else."""

    def passes_over() -> bool:
        assert world.poll(0.1) is None
        return world.counts.malformed > 0

    with flying(world, culture=Culture("~", "~")):
        eventually(passes_over)
    with flying(world):
        read(world)
    assert world.counts.malformed >= 1
    assert len(world.notices) == 1
    assert "cannot be read" in world.notices[0]


def test_boxes_are_shown_moved_and_hidden(world: QuadSimWorld, eventually: Wait) -> None:
    """Markers arrive as QuadSim understands them: Unity's axes and Euler angles."""
    with flying(world) as simulator:
        read(world)
        world.show(5, Box(Attitude((1.0, 2.0, 3.0), 0.1, 0.2, 0.3), seconds=-1.0))
        eventually(lambda: 5 in simulator.record.markers)
        marker = simulator.record.markers[5]
        assert marker["place"] == (-2.0, 3.0, 1.0)
        np.testing.assert_allclose(np.radians(marker["euler"]), (0.2, -0.3, -0.1), atol=1e-5)
        world.hide(5)
        eventually(lambda: 5 not in simulator.record.markers)
    assert simulator.record.ignored == 0
