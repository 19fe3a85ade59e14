"""How much the live view sends and works at most, however many look: by a clock that leaps over every wait."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.types import Message
from starlette.websockets import WebSocket

from quadfollow_core.request import Result, parse_request
from quadfollow_server import live_view
from quadfollow_server.jobs import Job
from quadfollow_server.live_door import LiveDoor
from quadfollow_server.live_view import LiveView
from quadfollow_server.metrics import Metrics

SECONDS = 10.0


class Leaping(selectors.SelectSelector):
    """Where an event loop would wait for the time, that has come already."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        """Look, and let the time pass."""
        self.now += timeout or 0.0
        return super().select(0)


class Audience:
    """Viewers who each ask for the next picture as soon as they have one, while there always is a new one."""

    def __init__(self, viewers: int, picture: bytes) -> None:
        self.live = LiveView(Metrics(), viewers)
        self.sizes: list[list[int]] = [[] for _ in range(viewers)]
        """Of the messages that each viewer got."""
        self._request = parse_request({"stream": "a"}, picture)

    async def watch(self) -> None:
        """Look on, all together."""
        with suppress(TimeoutError):
            async with asyncio.timeout(SECONDS), asyncio.TaskGroup() as group:
                for sizes in self.sizes:
                    group.create_task(self._watch(sizes))

    async def _watch(self, sizes: list[int]) -> None:
        coming: asyncio.Queue[Message] = asyncio.Queue()
        coming.put_nowait({"type": "websocket.connect"})

        def ask() -> None:
            self.live.show(Job(self._request, "test", lambda outcome: None, "one"), Result({}))
            coming.put_nowait({"type": "websocket.receive", "text": '{"stream": null}'})

        async def send(message: Message) -> None:
            sizes.extend([len(message["bytes"])] if "bytes" in message else [])
            asyncio.get_running_loop().call_soon(ask)

        await LiveDoor(self.live).watch(WebSocket({"type": "websocket"}, coming.get, send))


@pytest.fixture
def look(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[list[int]]]:
    """Let viewers look on for ten seconds, and return the sizes of the messages that each got."""

    def looked(viewers: int, picture: bytes, cost: float) -> list[list[int]]:
        clock, worked, audience = Leaping(), iter(range(10**6)), Audience(viewers, picture)
        time = SimpleNamespace(monotonic=lambda: clock.now, thread_time=lambda: cost * next(worked))
        loop = asyncio.SelectorEventLoop(clock)
        monkeypatch.setattr(loop, "time", time.monotonic)
        monkeypatch.setattr(live_view, "time", time)
        monkeypatch.setattr(asyncio, "to_thread", at_once)
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(audience.watch())
        return audience.sizes

    return looked


async def at_once(function: Callable[..., Any], *arguments: Any) -> Any:
    """Do what a thread would do: no real time passes here."""
    return function(*arguments)


@pytest.mark.parametrize(
    ("viewers", "size", "cost", "limit"),
    [
        (1, 100, 0.0, "each"),
        (5, 100, 0.0, "each"),
        (10, 100, 0.0, "all"),
        (10, 150_000, 0.0, "bytes"),
        (1, 2_000_000, 0.0, "bytes"),
        (1, 100, 0.02, "work"),
        (10, 100, 0.001, "work"),
    ],
)
def test_viewers_get_so_much_and_no_more(
    look: Callable[..., list[list[int]]], viewers: int, size: int, cost: float, limit: str
) -> None:
    """30 pictures a second each, 200 and 10 MB all together, and a tenth of a core to make them: as much as the first
    of these limits allows, evenly.
    """
    got = look(viewers, b"\xff\xd8\xff" + bytes(size), cost)
    counts = [len(sizes) for sizes in got]
    shares = {
        "each": max(counts) / (30 * SECONDS),
        "all": sum(counts) / (200 * SECONDS),
        "bytes": sum(map(sum, got)) / (10e6 * SECONDS),
        "work": cost * sum(counts) / (0.1 * SECONDS),
    }
    assert max(shares, key=lambda name: shares[name]) == limit
    assert 0.95 < shares[limit] < 1.05
    assert max(counts) - min(counts) <= 1
