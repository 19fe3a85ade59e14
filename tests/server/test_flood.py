"""Clients that send too much, read nothing or vanish: what they get, and what others notice."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
import zmq
from numpy.typing import NDArray
from tests.server.dispatching import ONE_WORKER

from quadfollow_core import wire
from quadfollow_core.codec import encode_png
from quadfollow_server.running import RunningServer
from quadfollow_server.segmenter import ConstantSegmenter, Plane
from quadfollow_server.settings import Settings

FRAMES = 300
MEGABYTE = 2**20
Dealers = Callable[..., Any]


@pytest.fixture
def slow(constant: Callable[..., Any]) -> Any:
    """A fake that takes a fiftieth of a second."""
    return constant(partial(time.sleep, 0.02))


def flood(client: Any, data: bytes = b"", streams: Sequence[str] = ("",)) -> list[dict[str, Any]]:
    """Send frames as fast as they go, of these streams in turn, then read each one's fate."""
    for number in range(FRAMES):
        client.send(number, data=data, stream=streams[number % len(streams)])
    return [client.read().body for _ in range(FRAMES)]


def test_a_flood_ends_with_one_fate_each_and_the_newest_answered(slow: Any, dealer: Dealers) -> None:
    """Three hundred frames at a slow model: each id comes back once, the last one as a result."""
    with RunningServer(ONE_WORKER, [slow]) as server:
        replies = flood(dealer(server.address))
    assert sorted(reply["id"] for reply in replies) == list(range(FRAMES))
    kinds = Counter(reply["type"] for reply in replies)
    assert kinds.keys() == {"result", "dropped"}
    newest = next(reply for reply in replies if reply["id"] == FRAMES - 1)
    assert newest["type"] == "result"
    assert newest["dropped"] == kinds["dropped"]
    assert {reply["reason"] for reply in replies if reply["type"] == "dropped"} == {"superseded"}
    assert all(reply["held_ms"] >= 0 for reply in replies)


def test_floods_leave_no_memory_behind(slow: Any, dealer: Dealers, png: bytes) -> None:
    """After a first flood, further ones of large frames from ever new clients and streams need no more memory."""
    frame = png + bytes(100_000)
    process = psutil.Process()
    with RunningServer(ONE_WORKER, [slow]) as server:
        for _ in range(2):
            flood(dealer(server.address), frame)
        before = process.memory_info().rss
        for index in range(5):
            client = dealer(server.address)
            flood(client, frame, [f"flood {index}, stream {number}" for number in range(20)])
            client.socket.close(0)
        grown = process.memory_info().rss - before
        assert grown < 30 * MEGABYTE, f"{grown / MEGABYTE:.1f} MiB more after {5 * FRAMES} frames of 100 kB"


class Noting(ConstantSegmenter):
    """A fake that notes how bright the first pixel is of all that it looks at."""

    def __init__(self, pause: Callable[[], object]) -> None:
        super().__init__(np.zeros((8, 8), np.uint8), pause=pause)
        self.looks: list[int] = []

    def segment(self, image: NDArray[np.uint8], *, alone: bool = True) -> tuple[Plane, Plane]:
        """Look."""
        self.looks.append(int(image[0, 0, 0]))
        return super().segment(image, alone=alone)


def test_a_flooding_client_does_not_starve_another(gate: Any, dealer: Dealers, until: Any) -> None:
    """A frame waits for what came before it, and for nothing that a flooding client sends after it."""
    dark, bright = (encode_png(np.full((8, 8, 3), value, np.uint8)) for value in (0, 255))
    eyes = Noting(gate)
    settings = replace(ONE_WORKER, max_waiting=400, queue_seconds=3600.0)
    with RunningServer(settings, [eyes]) as server:

        def let_wait(client: Any, streams: Iterable[int], data: bytes, waiting: int) -> None:
            for stream in streams:
                client.send(stream, stream=f"s{stream}", data=data)
            until(lambda: f"quadfollow_waiting {waiting}.0" in httpx.get(f"{server.url}/metrics").text)

        loud, quiet = dealer(server.address), dealer(server.address)
        loud.send(data=dark)
        gate.wait_reached()
        let_wait(loud, range(20), dark, 20)
        let_wait(quiet, [0], bright, 21)
        let_wait(loud, range(45), dark, 46)
        gate.open()
        assert quiet.read().body["type"] == "result"
        assert Counter(loud.read().body["type"] for _ in range(66)) == {"result": 46, "dropped": 20}
    assert eyes.looks.index(255) <= 21, "the frame under way, and 20 that came before"
    assert len(eyes.looks) == 47


def test_streams_of_one_client_have_a_slot_each(slow: Any, dealer: Dealers) -> None:
    """Frames of different streams do not push each other out."""
    with RunningServer(ONE_WORKER, [slow]) as server:
        client = dealer(server.address)
        for number in range(20):
            client.send(number, stream=f"s{number}")
        assert [client.read().body["type"] for _ in range(20)] == ["result"] * 20


def test_a_client_of_ever_new_streams_shuts_nobody_out(
    constant: Callable[..., Any], gate: Any, dealer: Dealers
) -> None:
    """A client that names a new stream with each frame gets its share of the places, and another one still its own."""
    settings = Settings(port=0, zmq_port=0, pub_port=0, workers=1, max_waiting=16)
    with RunningServer(settings, [constant(gate)]) as server:
        loud, quiet = dealer(server.address), dealer(server.address)
        loud.send(0)
        gate.wait_reached()
        for number in range(1, 100):
            loud.send(number, stream=f"s{number}")
        refused = [loud.read().body for _ in range(97)]
        assert {reply["code"] for reply in refused} == {"overloaded"}
        assert [reply["id"] for reply in refused] == list(range(3, 100))
        quiet.send("mine")
        gate.open()
        assert quiet.read().body["type"] == "result"
        assert [loud.read().body["type"] for _ in range(3)] == ["result"] * 3
        assert loud.ask(100, stream="s100")["type"] == "result"


def test_a_client_that_never_reads_harms_nobody(constant: Callable[..., Any], dealer: Dealers) -> None:
    """Replies to a client that does not read are given up and counted; memory stays, others are answered."""
    process = psutil.Process()
    with RunningServer(segmenters=[constant()]) as server:
        deaf = dealer(server.address, rcvhwm=1, rcvbuf=4096)
        other = dealer(server.address)
        other.ask()
        before = process.memory_info().rss
        while b"quadfollow_undeliverable_total 0.0" in httpx.get(f"{server.url}/metrics").content:
            for number in range(2000):
                deaf.raw(*wire.encode_ping(f"{number:>100}"))
            assert other.ask()["type"] == "result"
        grown = process.memory_info().rss - before
        assert grown < 30 * MEGABYTE, f"{grown / MEGABYTE:.1f} MiB more"


def test_clients_that_vanish_leave_nothing_behind(slow: Any, dealer: Dealers) -> None:
    """Clients that send and go at once cost their frames' inference and no more."""
    with RunningServer(ONE_WORKER, [slow]) as server, zmq.Context() as context:
        for number in range(20):
            with context.socket(zmq.DEALER) as client:
                client.connect(server.address)
                client.linger = 1000
                client.send_multipart(wire.encode_ping(number))
                client.recv_multipart()
                client.send_multipart(wire.encode_request({"id": number}, b"\xff\xd8\xff not a picture"))
        assert dealer(server.address).ask()["type"] == "result"
        while b"quadfollow_waiting 0.0" not in httpx.get(f"{server.url}/metrics").content:
            pass
