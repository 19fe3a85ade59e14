"""The imitation's own bytes and flight, against what is known of QuadSim."""

from __future__ import annotations

import asyncio
import json
import math
import re
import time
from collections.abc import Callable

import numpy as np
import pytest
from aiohttp import web
from tests.sim_bridge.unhurried import PATIENCE

from quadfollow_core.codec import decode_depth
from quadfollow_sim.quadsim.imitation.client import Imitation, Settings
from quadfollow_sim.quadsim.imitation.quad import MAX_SPEED, PATROL_HEIGHT, Quad, State
from quadfollow_sim.quadsim.imitation.scene import HERO_SPEED, Hero, ScriptedScene
from quadfollow_sim.quadsim.imitation.telemetry import ENGLISH, FRENCH, GERMAN, SWISS, Culture, depth_png

Wait = Callable[..., None]
NUMBER = r"-?\d+\.\d{4}"
POSE = rf"{NUMBER}(?:,{NUMBER}){{5}}"
FRAME = re.compile(
    r'42\["sensor_frame",\{"timestamp":"\d+\.\d+","pose":"' + POSE + '","gimbal_pose":"' + POSE + r'",'
    r'"rgb_image":"[A-Za-z0-9+/=]+","depth_image":"[A-Za-z0-9+/=]+"\}\]'
)


def serve_once(
    answer: Callable[[web.WebSocketResponse, str], object], enough: Callable[[list[str]], bool]
) -> tuple[str, list[str]]:
    """Take an imitation's connections with a bare server until enough was said; return its address and all it said."""
    said: list[str] = []
    addresses: list[str] = []

    async def handle(request: web.Request) -> web.WebSocketResponse:
        addresses.append(request.path_qs)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            said.append(message.data)
            reply = answer(socket, message.data)
            if asyncio.iscoroutine(reply):
                await reply
        return socket

    async def run() -> None:
        app = web.Application()
        app.router.add_get("/socket.io/", handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        with_port = Settings(port=runner.addresses[0][1])
        simulator = Imitation(ScriptedScene, settings=with_port)
        simulator.__enter__()
        end = time.monotonic() + PATIENCE
        while not enough(said) and time.monotonic() < end:
            await asyncio.sleep(0.02)
        await asyncio.to_thread(simulator.__exit__, None, None, None)
        await runner.cleanup()

    asyncio.run(run())
    return addresses[0], said


def test_what_it_says_is_what_quadsim_says() -> None:
    """A ping first, pings while pongs come, frames at 5 Hz, a pong for a ping; never a connect packet."""

    async def answer(socket: web.WebSocketResponse, text: str) -> None:
        if text == "2":
            await socket.send_str("2")  # before the pong, which lets it ping again: it answers this first
            await socket.send_str("3")

    start = time.monotonic()
    address, said = serve_once(answer, lambda said: said.count("2") >= 3 and said.count("3") >= 2 and len(said) > 10)
    seconds = time.monotonic() - start
    assert address == "/socket.io/?EIO=4&transport=websocket"
    assert said[0] == "2"
    kinds = [text if len(text) < 3 else "frame" for text in said]
    assert set(kinds) == {"2", "3", "frame"}
    assert 3 <= kinds.count("2") <= 1 + seconds / 0.5
    assert kinds.count("2") - 1 <= kinds.count("3") <= kinds.count("2")
    assert kinds.count("frame") <= seconds / 0.2
    assert all(FRAME.fullmatch(text) for text in said if len(text) > 2)


def test_it_pings_no_more_without_a_pong() -> None:
    """QuadSim's ping thread waits for the answer practically for ever."""
    _, said = serve_once(lambda socket, text: None, lambda said: len(said) > 6)
    assert said.count("2") == 1


def test_it_passes_over_what_it_does_not_understand() -> None:
    """Malformed commands change nothing, and frames go on."""
    rubbish = ["42", "42[]", '42["object_detected",{}]', '42["object_detected",{"coords":["a"]}]', "42[1,2,3]", "x"]

    async def answer(socket: web.WebSocketResponse, text: str) -> None:
        if text == "2":
            await socket.send_str("3")
            for part in rubbish:
                await socket.send_str(part)

    _, said = serve_once(answer, lambda said: said.count("2") >= 2)
    assert len(said) > 2


@pytest.mark.parametrize(
    ("culture", "fixed", "general"),
    [
        (ENGLISH, "-1,234.5000", "1508362462.25"),
        (GERMAN, "-1.234,5000", "1508362462,25"),
        (FRENCH, "-1\u00a0234,5000", "1508362462,25"),
        (SWISS, "-1'234.5000", "1508362462.25"),
    ],
)
def test_numbers_look_as_dotnet_writes_them(culture: Culture, fixed: str, general: str) -> None:
    """Four decimals and separators of the language."""
    assert (culture.fixed(-1234.5), culture.general(1508362462.25)) == (fixed, general)


def test_depth_is_grey_rgba() -> None:
    """Red holds 255 · z / far, rounded; sky is 255; opacity is full."""
    png = depth_png(np.array([[0.0, 50.0], [100.0, np.inf]]), 100.0)
    np.testing.assert_array_equal(decode_depth(png), [[0, 128], [255, 255]])
    assert png[25] == 6  # PNG's colour type for RGBA


def test_the_patrol_looks_around_then_flies_its_loop() -> None:
    """One turn on the spot at 35 degrees a second, then the loop at 3 m and at most 15 m/s, camera 30 degrees down."""
    quad, hero = Quad(), Hero((6.0, 0.0, 0.0), 0.0)
    for _ in range(round(360 / 35 / 0.02)):
        quad.step(0.02, hero)
        assert quad.position == (0.0, 0.0, PATROL_HEIGHT)
    quad.step(0.02, hero)
    assert quad.state is State.PATROL
    assert abs(math.degrees(quad.camera_pitch) - 30) < 1e-6
    visited = set()
    for _ in range(5000):
        before = quad.position
        quad.step(0.02, hero)
        visited.add(quad.goal)
        assert math.dist(before, quad.position) <= MAX_SPEED * 0.02 + 1e-9
        assert quad.position[2] == PATROL_HEIGHT
    assert visited == set(range(len(quad.points)))


def test_it_settles_three_metres_behind_a_walking_hero() -> None:
    """The goal is 2 m behind and 3 m up; walking pace holds it 1 m farther off, with her about 85 pixels tall."""
    quad, scene = Quad(), ScriptedScene(path=((6.0, 0.0), (1000.0, 0.0)))
    assert quad.detect(scene)
    for _ in range(1000):
        scene.advance(0.02)
        quad.step(0.02, scene.hero())
    behind = scene.hero().feet[0] - quad.position[0]
    assert abs(behind - (2 + HERO_SPEED / 1.5)) < 0.05
    assert abs(quad.position[2] - 3) < 0.01
    assert 30 < math.degrees(quad.camera_pitch) < 35
    picture = scene.render(quad.camera())
    rows = np.nonzero((picture.image[..., 0] > 130) & (picture.image[..., 1] < 120))[0]
    assert 75 < rows.max() - rows.min() < 95


def test_json_of_a_frame_has_strings_only(frame: dict[str, str]) -> None:
    """Every value is a string, in QuadSim's order."""
    assert list(frame) == ["timestamp", "pose", "gimbal_pose", "rgb_image", "depth_image"]
    assert all(isinstance(value, str) for value in json.loads(json.dumps(frame)).values())
