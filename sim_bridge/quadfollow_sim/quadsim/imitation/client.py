"""QuadSim's client, byte for byte: it pings, shows frames, obeys, and goes home when it hears nothing.

Written after the behaviour of QuadSim's own client; of the endpoint that it talks to it uses nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from quadfollow_sim.quadsim.frames import FAR
from quadfollow_sim.quadsim.imitation.quad import Quad, State
from quadfollow_sim.quadsim.imitation.scene import Hero, Scene
from quadfollow_sim.quadsim.imitation.telemetry import ENGLISH, Culture, sensor_frame

URL = "ws://127.0.0.1:{port}/socket.io/?EIO=4&transport=websocket"
PING_PAUSE, PONG_POLL = 0.5, 0.2
"""Seconds between a pong and the next ping, and between looks whether the pong has come."""
WATCHDOG = 3.0
"""Seconds without ping or pong from the server after which QuadSim leaves its target."""
FRAME_PERIOD = 0.2
TICK = 0.02
"""Seconds of real time between steps of the simulation."""
KEPT = 1000


@dataclass(frozen=True, slots=True)
class Settings:
    """What differs between one QuadSim and another."""

    port: int = 4567
    far: float = FAR
    culture: Culture = ENGLISH
    speed: float = 1.0
    """Simulated seconds per second; frames, pings and watchdog go by real time whatever it is."""
    watchdog: float = WATCHDOG


@dataclass(slots=True)
class Record:
    """What the imitation has lived through; the texts are the last KEPT."""

    sent: deque[str] = field(default_factory=lambda: deque(maxlen=KEPT))
    received: deque[str] = field(default_factory=lambda: deque(maxlen=KEPT))
    connections: int = 0
    frames: int = 0
    shown: deque[Hero] = field(default_factory=lambda: deque(maxlen=KEPT))
    """The true hero in each of the last frames."""
    pongs: int = 0
    longest_silence: float = 0.0
    """Seconds between two signs of life from the server, while connected."""
    events: deque[tuple[str, Any]] = field(default_factory=lambda: deque(maxlen=KEPT))
    ignored: int = 0
    """Messages that QuadSim passes over in silence."""
    disbelieved: int = 0
    """Detections while the true hero was out of sight."""
    states: list[State] = field(default_factory=lambda: [State.LOOKING])
    markers: dict[int, dict[str, Any]] = field(default_factory=dict)


class Imitation:
    """A QuadSim that runs in a thread of its own; use it as a context manager.

    Args:
        make_scene: makes the scene; called in that thread, as a renderer belongs to its thread.
        quad: the quadcopter at the start.
        settings: which QuadSim to be.
    """

    def __init__(
        self, make_scene: Callable[[], Scene], quad: Quad | None = None, settings: Settings | None = None
    ) -> None:
        self.quad = Quad() if quad is None else quad
        self.record = Record()
        self.hero: Hero | None = None
        """The true hero at the last step."""
        self._make_scene = make_scene
        self._settings = Settings() if settings is None else settings
        self._heard = time.monotonic()
        self._pinging = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._live()), name="quadsim", daemon=True)

    def __enter__(self) -> Imitation:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    async def _live(self) -> None:
        scene = self._make_scene()
        tasks = [asyncio.create_task(self._simulate(scene)), asyncio.create_task(self._reconnect(scene))]
        while not self._stop.is_set() and not any(task.done() for task in tasks):
            await asyncio.sleep(TICK)
        for task in tasks:
            if task.done():
                task.result()
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        scene.close()

    async def _simulate(self, scene: Scene) -> None:
        last = time.monotonic()
        while True:
            await asyncio.sleep(TICK)
            now = time.monotonic()
            passed, last = (now - last) * self._settings.speed, now
            scene.advance(passed)
            self.hero = scene.hero()
            self.quad.step(passed, self.hero)
            if now - self._heard > self._settings.watchdog:
                self.quad.lose()
            self._note_state()

    def _note_state(self) -> None:
        if self.record.states[-1] is not self.quad.state:
            self.record.states.append(self.quad.state)

    async def _reconnect(self, scene: Scene) -> None:
        async with aiohttp.ClientSession() as session:
            while True:
                with contextlib.suppress(aiohttp.ClientError, OSError):
                    await self._connect(session, scene)
                await asyncio.sleep(0.005)

    async def _connect(self, session: aiohttp.ClientSession, scene: Scene) -> None:
        url = URL.format(port=self._settings.port)
        async with session.ws_connect(url, max_msg_size=0, timeout=aiohttp.ClientWSTimeout(ws_close=0.2)) as socket:
            self.record.connections += 1
            self._heard = time.monotonic()
            tasks = [asyncio.create_task(self._ping(socket)), asyncio.create_task(self._broadcast(socket, scene))]
            try:
                await self._listen(socket, scene)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _ping(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        while True:
            self._pinging = True
            await self._send(socket, "2")
            while self._pinging:
                await asyncio.sleep(PONG_POLL)
            await asyncio.sleep(PING_PAUSE)

    async def _broadcast(self, socket: aiohttp.ClientWebSocketResponse, scene: Scene) -> None:
        while True:
            await asyncio.sleep(FRAME_PERIOD)
            await self._send(socket, f'42["sensor_frame",{self._telemetry(scene)}]')
            self.record.frames += 1

    def _telemetry(self, scene: Scene) -> str:
        settings, quad = self._settings, self.quad
        self.record.shown.append(scene.hero())
        picture = scene.render(quad.camera())
        frame = sensor_frame(picture, quad.body(), quad.eye(), time.time(), far=settings.far, culture=settings.culture)
        return json.dumps(frame, separators=(",", ":"), ensure_ascii=False)

    async def _send(self, socket: aiohttp.ClientWebSocketResponse, text: str) -> None:
        self.record.sent.append(text)
        await socket.send_str(text)

    async def _listen(self, socket: aiohttp.ClientWebSocketResponse, scene: Scene) -> None:
        async for message in socket:
            if message.type is not aiohttp.WSMsgType.TEXT:
                self.record.ignored += 1
                continue
            self.record.received.append(message.data)
            await self._hear(socket, scene, message.data)

    async def _hear(self, socket: aiohttp.ClientWebSocketResponse, scene: Scene, text: str) -> None:
        if text[:1] in ("2", "3"):
            now = time.monotonic()
            self.record.longest_silence = max(self.record.longest_silence, now - self._heard)
            self._heard = now
        if text[:1] == "2":
            await self._send(socket, "3")
        elif text[:1] == "3":
            self._pinging = False
            self.record.pongs += 1
        elif text[:2] == "42":
            self._obey(scene, text[2:])

    def _obey(self, scene: Scene, body: str) -> None:
        """Do what an event says; whatever goes wrong is passed over in silence, as QuadSim does."""
        try:
            name, data = json.loads(body)
            self._act(scene, name, data)
        except (ValueError, TypeError, KeyError, IndexError):
            self.record.ignored += 1
        else:
            self.record.events.append((name, data))
        self._note_state()

    def _act(self, scene: Scene, name: str, data: dict[str, Any]) -> None:
        if name == "object_detected":
            _ = [float(data["coords"][axis]) for axis in range(3)]
            self.record.disbelieved += not self.quad.detect(scene)
        elif name == "object_lost":
            self.quad.lose()
        elif name == "create_box_marker":
            self.record.markers[int(data["id"])] = _marker(data)
        elif name == "delete_marker":
            self.record.markers.pop(int(data["id"]), None)


def _marker(data: dict[str, Any]) -> dict[str, Any]:
    """Read a marker as QuadSim does: Unity's place, Euler angles (degrees) and scale, all from ours by one rule."""
    pose = [float(data["pose"][index]) for index in range(6)]
    size = [float(data["dimensions"][index]) for index in range(3)]
    colour = [float(data["color"][index]) for index in range(4)]
    place, euler, scale = (_to_unity(part) for part in (pose[:3], pose[3:], size))
    return {"place": place, "euler": euler, "scale": scale, "colour": colour, "duration": float(data["duration"])}


def _to_unity(vector: list[float]) -> tuple[float, float, float]:
    """Take (x, y, z) of the world frame to Unity's left-handed axes; QuadSim does the same to angles and sizes."""
    x, y, z = vector
    return -y, z, x
