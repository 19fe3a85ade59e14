"""The clients of a load test, good ones and bad ones, each a function that goes on until the scene is over."""

from __future__ import annotations

import json
import random
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
import zmq
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from measuring.ledger import DOUBLE, GONE, Ledger, fate_of
from quadfollow_core import wire
from quadfollow_core.stream_client import Fate, StreamClient

PATIENCE = 20.0
"""Seconds after which a good client gives a frame up; longer than a loaded server ever takes."""
BURST = 60
"""Frames that a client which ignores credits sends in one go."""
WANT = ["target", "people", "track"]


@dataclass(slots=True)
class Scene:
    """Where the clients meet the server."""

    url: str
    address: str
    pub_address: str
    jpeg: bytes
    rate: float
    """Frames per second of each good client; 0 for the next one as soon as the last is answered."""
    ledger: Ledger = field(default_factory=Ledger)
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def http_place(self) -> tuple[str, int]:
        """Host and port of the HTTP door."""
        url = httpx.URL(self.url)
        return url.host, url.port or 80

    def rest(self, seconds: float) -> None:
        """Wait, or until it is over."""
        self.over.wait(seconds)

    def turns(self) -> Iterator[int]:
        """One number after the other, each when its turn has come."""
        number, due = 0, time.monotonic()
        while not self.over.is_set():
            number += 1
            yield number
            if self.rate:
                due = max(due + 1 / self.rate, time.monotonic())
                self.rest(due - time.monotonic())


Client = Callable[[Scene], None]


def streams(scene: Scene, who: str = "stream") -> None:
    """A camera behind the client that keeps a count of its credits, one frame at a time."""
    with StreamClient(scene.address, stream=threading.current_thread().name, timeout=PATIENCE) as client:
        for _ in scene.turns():
            began = time.monotonic()
            client.offer(scene.jpeg, want=WANT)
            fates: list[Fate] = []
            while not fates:
                fates = client.poll(1.0)
            (fate,) = fates
            match fate.outcome:
                case "result":
                    scene.ledger.answered(who, fate.age)
                case "lost":
                    scene.ledger.lose(who, began)
                case _:
                    scene.ledger.note(who, fate_of(fate.body))


def posts(scene: Scene, who: str = "HTTP") -> None:
    """Frames posted one by one, over a connection that is kept."""
    with httpx.Client(base_url=scene.url, timeout=PATIENCE) as http:
        for number in scene.turns():
            began = time.monotonic()
            try:
                answer = http.post("/segment", params={"id": number}, content=scene.jpeg)
            except httpx.TransportError:
                scene.ledger.lose(who, began)
                scene.rest(0.2)
                continue
            if answer.status_code == 200:
                scene.ledger.answered(who, time.monotonic() - began)
            else:
                scene.ledger.note(who, fate_of(answer.json()))


def floods(scene: Scene, who: str = "ignores credits") -> None:
    """Bursts of frames of three streams, as fast as they go; then it reads what became of each id."""
    while not scene.over.is_set():
        with dealing(scene.address) as client:
            began = time.monotonic()
            for number in range(BURST):
                client.send_multipart(frame(number, f"flood {number % 3}", scene.jpeg))
            open_ids = set(range(BURST))
            with suppress(zmq.Again):
                while open_ids:
                    body = wire.decode_reply(client.recv_multipart()).body
                    scene.ledger.note(who, fate_of(body) if body["id"] in open_ids else DOUBLE)
                    open_ids.discard(body["id"])
            for _ in open_ids:
                scene.ledger.lose(who, began)
        scene.rest(2.0)


def vanishes(scene: Scene, who: str = "vanishes") -> None:
    """Sends some frames and is gone, as a client that is killed."""
    while not scene.over.is_set():
        with dealing(scene.address) as client:
            for number in range(5):
                client.send_multipart(frame(number, "", scene.jpeg))
                scene.ledger.note(who, GONE)
            client.poll(50)
        scene.rest(1.0)


def never_reads(scene: Scene, who: str = "never reads") -> None:
    """Sends many pings at once, then a frame and a ping each second, and never reads; comes anew after a while."""
    while not scene.over.is_set():
        with dealing(scene.address, rcvhwm=1, rcvbuf=4096, sndtimeo=0) as client:
            for turn in range(20):
                with suppress(zmq.Again):
                    client.send_multipart(frame(turn, "", scene.jpeg))
                    scene.ledger.note(who, GONE)
                    for number in range(1 if turn else 500):
                        client.send_multipart(wire.encode_ping(f"{number:>100}"))
                scene.rest(1.0)
                if scene.over.is_set():
                    return


def never_reads_http(scene: Scene) -> None:
    """Asks many things at once on one connection, then one a second, and never reads; comes anew after a while."""
    request = b"GET /info HTTP/1.1\r\nHost: x\r\n\r\n"
    while not scene.over.is_set():
        with suppress(OSError), socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.connect(scene.http_place)
            deaf.setblocking(False)
            for turn in range(20):
                with suppress(BlockingIOError):
                    deaf.send(request * (1 if turn else 100))
                scene.rest(1.0)
        scene.rest(0.5)


def crawls(scene: Scene, connections: int = 20) -> None:
    """Slow loris: connections whose heads grow by a header a second and never end; one that is closed comes back."""
    held: list[socket.socket | None] = [None] * connections
    try:
        while not scene.over.is_set():
            for index, one in enumerate(held):
                held[index] = _crawl(scene, one)
            scene.rest(1.0)
    finally:
        for one in held:
            if one is not None:
                one.close()


def _crawl(scene: Scene, held: socket.socket | None) -> socket.socket | None:
    try:
        if held is None:
            held = socket.create_connection(scene.http_place, timeout=PATIENCE)
            held.sendall(b"POST /segment HTTP/1.1\r\nHost: x\r\n")
        held.sendall(b"x-a: b\r\n")
    except OSError:
        if held is not None:
            held.close()
        return None
    return held


def talks_nonsense(scene: Scene, who: str = "nonsense") -> None:
    """Random parts over ZeroMQ, each of which has its reply, and random bytes over HTTP."""
    chance = random.Random(1)
    while not scene.over.is_set():
        with suppress(OSError), socket.create_connection(scene.http_place, timeout=PATIENCE) as raw:
            raw.sendall(b"POST /segment HTTP/1.1\r\n" + chance.randbytes(60) + b"\r\n\r\n")
            raw.shutdown(socket.SHUT_WR)
            while raw.recv(65536):
                pass
        with dealing(scene.address) as client:
            began = time.monotonic()
            client.send_multipart([b"qf1", chance.randbytes(40), chance.randbytes(100)][: chance.randint(1, 3)])
            try:
                scene.ledger.note(who, fate_of(wire.decode_reply(client.recv_multipart()).body))
            except zmq.Again:
                scene.ledger.lose(who, began)
        scene.rest(0.2)


def looks_on(scene: Scene) -> None:
    """A viewer of the live view, that asks for the next picture when it has one."""
    while not scene.over.is_set():
        with (
            suppress(OSError, WebSocketException, TimeoutError),
            connect(scene.url.replace("http", "ws") + "/view", compression=None, proxy=None) as view,
        ):
            while not scene.over.is_set():
                view.send(json.dumps({"stream": None}))
                view.recv(timeout=PATIENCE)
                scene.rest(1 / 30)
        scene.rest(0.5)


def subscribes_deaf(scene: Scene) -> None:
    """Asks for every picture that is published, and never reads one."""
    with zmq.Context() as context, context.socket(zmq.SUB) as deaf:
        deaf.linger = 0
        deaf.rcvhwm = 1
        deaf.connect(scene.pub_address)
        deaf.subscribe(wire.PICTURES)
        scene.over.wait()


def frame(number: int, stream: str, jpeg: bytes) -> list[Any]:
    """One request of the wire."""
    return list(wire.encode_request({"id": number, "stream": stream, "encoding": "jpeg"}, jpeg, None))


@contextmanager
def dealing(address: str, **options: int) -> Iterator[zmq.Socket[bytes]]:
    """A raw connection, without any care for credits."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as client:
        client.linger = 0
        client.rcvtimeo = client.sndtimeo = round(1000 * PATIENCE)
        for name, value in options.items():
            setattr(client, name, value)
        client.connect(address)
        yield client


def enter(scene: Scene, clients: Sequence[tuple[Client, int]]) -> list[threading.Thread]:
    """Let so many of each kind of client begin, each in a thread."""
    threads = [
        threading.Thread(target=_play, args=(scene, client), name=f"{client.__name__} {number}", daemon=True)
        for client, count in clients
        for number in range(count)
    ]
    for thread in threads:
        thread.start()
    return threads


def _play(scene: Scene, client: Client) -> None:
    try:
        client(scene)
    except Exception:  # noqa: BLE001  a client that fell over is a finding too
        scene.ledger.fall(f"{threading.current_thread().name}: {traceback.format_exc()}")
