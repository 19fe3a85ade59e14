"""A client written from `docs/wire.md` and `docs/http.md` alone, against the real server.

Nothing of the project is imported here: sockets, JSON and pictures only. What this module can do, a client in any other
language can do after reading the same two pages.
"""

import base64
import http.client
import io
import json
import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
import zmq
from PIL import Image

VECTORS = Path(__file__).parents[2] / "docs" / "wire-vectors.json"
PROGRAM = Path(sys.executable).with_name("quadfollow")
MAGIC = b"qf1"
ERROR_CODES = {
    "bad-message",
    "bad-image",
    "bad-geometry",
    "unsupported-encoding",
    "limit-exceeded",
    "overloaded",
    "not-found",
    "unavailable",
    "error",
}
FLOOD = 300
MAX_GROWTH = 5e6
PATIENCE = 120
"""Seconds until a wait is given up: far above what anything here takes, so that a slow machine does not fail."""

Message = dict[str, Any]
Connect = Callable[[int, int], zmq.Socket[bytes]]


@dataclass
class Server:
    """`quadfollow serve` as a process of its own, on ports that stay the same over restarts."""

    log: Path
    http_port: int
    zmq_port: int
    pub_port: int
    process: subprocess.Popen[bytes] = field(init=False)

    def start(self) -> None:
        """Start the process; `wait_until_ready` or a client finds out when it serves."""
        arguments = [str(PROGRAM), "serve", "--device", "cpu", "--port", str(self.http_port)]
        arguments += ["--zmq-port", str(self.zmq_port), "--pub-port", str(self.pub_port)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(arguments, stdout=log, stderr=subprocess.STDOUT)

    def is_ready(self) -> bool:
        """Ask `/readyz`; whatever is not a 200 is a no."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=2.0)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def wait_until_ready(self) -> None:
        """Poll `/readyz`, and notice at once if the process ends instead."""
        deadline = time.monotonic() + PATIENCE
        while not self.is_ready():
            try:
                code = self.process.wait(timeout=0.05)
            except subprocess.TimeoutExpired:
                assert time.monotonic() < deadline, f"not ready in time:\n{self.log.read_text()}"
            else:
                pytest.fail(f"ended with {code} instead of getting ready:\n{self.log.read_text()}")

    def kill(self) -> None:
        """End it as a power cut would: the supervisor, and the server process that would else outlive it a moment."""
        family = psutil.Process(self.process.pid).children() if self.process.poll() is None else []
        self.process.kill()
        self.process.wait(timeout=PATIENCE)
        for one in family:
            one.kill()
        psutil.wait_procs(family, timeout=PATIENCE)

    def stop(self) -> int:
        """Ask the process to end, and return its exit code."""
        self.process.terminate()
        return self.process.wait(timeout=PATIENCE)


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """Run a server on three free ports; it must end when asked to, cleanly unless its supervisor lost patience."""
    sockets = [socket.socket() for _ in range(3)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        ports = [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()
    running = Server(folder / "server.log", *ports)
    running.start()
    try:
        running.wait_until_ready()
        yield running
        code = running.stop()
        killed = code == 137 and "did not stop within" in running.log.read_text()
        assert code == 0 or killed, f"exit code {code}:\n{running.log.read_text()}"
    finally:
        running.kill()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Give the server that most tests share."""
    with serving(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Give a function that connects a socket to a port; all it made is closed in the end, unsent frames dropped."""
    sockets: list[zmq.Socket[bytes]] = []
    with zmq.Context() as context:

        def make(kind: int, port: int) -> zmq.Socket[bytes]:
            client = context.socket(kind)
            sockets.append(client)
            client.linger = 0
            client.connect(f"tcp://127.0.0.1:{port}")
            return client

        yield make
        for client in sockets:
            client.close()


def send(dealer: zmq.Socket[bytes], header: Message, *parts: bytes) -> None:
    """Send one request."""
    dealer.send_multipart([MAGIC, json.dumps(header).encode(), *parts])


def receive(dealer: zmq.Socket[bytes]) -> Message:
    """Wait for one reply."""
    assert dealer.poll(1000 * PATIENCE), "no reply in time"
    magic, body, *_ = dealer.recv_multipart()
    assert magic == MAGIC
    message = json.loads(body)
    assert isinstance(message, dict)
    return message


def noise() -> bytes:
    """Draw a 256x256 JPEG that does not compress, so that a server that kept frames would grow visibly."""
    size = (256, 256)
    file = io.BytesIO()
    pixels = random.Random(1).randbytes(3 * size[0] * size[1])
    Image.frombytes("RGB", size, pixels).save(file, "JPEG", quality=90)
    return file.getvalue()


def flood(dealer: zmq.Socket[bytes], stream: str, process: psutil.Process) -> tuple[list[Message], list[int]]:
    """Send frames without regard to credits; return every reply and the server's memory at its arrival."""
    frame = noise()
    replies: list[Message] = []
    resident: list[int] = []

    def take() -> None:
        replies.append(receive(dealer))
        resident.append(process.memory_info().rss)

    for number in range(FLOOD):
        send(dealer, {"id": number, "stream": stream, "encoding": "jpeg"}, frame)
        while dealer.poll(1):
            take()
    while len(replies) < FLOOD:
        take()
    return replies, resident


def test_every_frame_of_a_flood_is_accounted_for(server: Server, connect: Connect) -> None:
    """Every id of a flood gets exactly one reply, the newest a result, and the server does not grow meanwhile.

    A server that gets no turn on a busy machine holds what came meanwhile; one that kept frames would grow each time.
    """
    dealer = connect(zmq.DEALER, server.zmq_port)
    (process,) = psutil.Process(server.process.pid).children()  # the supervisor's own memory tells nothing
    flood(dealer, "warm-up", process)
    growth: list[int] = []
    while not growth or growth[-1] >= MAX_GROWTH:
        assert len(growth) < 5, f"{growth} bytes more in the second half of each flood"
        stream = f"flood {len(growth)}"
        replies, resident = flood(dealer, stream, process)
        send(dealer, {"type": "ping", "id": "end"})
        assert receive(dealer) == {"type": "pong", "id": "end"}, "more replies than frames"

        assert sorted(reply["id"] for reply in replies) == list(range(FLOOD))
        assert {reply["stream"] for reply in replies} == {stream}
        assert {reply["type"] for reply in replies} <= {"result", "dropped", "error"}
        dropped = [reply for reply in replies if reply["type"] == "dropped"]
        assert dropped, "a flood that the server keeps up with shows nothing"
        assert {reply["reason"] for reply in dropped} == {"superseded"}
        (newest,) = (reply for reply in replies if reply["id"] == FLOOD - 1)
        assert newest["type"] == "result"
        assert newest["dropped"] == len(dropped)
        growth.append(max(resident[FLOOD // 2 :]) - max(resident[: FLOOD // 2]))


class CreditClient:
    """A client with one credit: a frame is sent when the one before it is settled, by a reply or by a time-out."""

    FIRST_TIMEOUT = 0.5
    LONGEST_TIMEOUT = 4.0
    PAUSE = 0.1

    def __init__(self, connect: Connect, port: int, frame: bytes) -> None:
        self.connect, self.port, self.frame = connect, port, frame
        self.dealer = connect(zmq.DEALER, port)
        self.sent = self.results = self.timeouts = 0
        self.outstanding: int | None = None
        self.timeout = self.FIRST_TIMEOUT
        self.give_up_at = self.send_from = 0.0

    def step(self) -> None:
        """Send if there is a credit, take a reply if there is one, give up on it if it is late."""
        now = time.monotonic()
        if self.outstanding is None and now >= self.send_from:
            self.sent += 1
            send(self.dealer, {"id": self.sent, "stream": "credits", "encoding": "jpeg"}, self.frame)
            self.outstanding, self.give_up_at = self.sent, now + self.timeout
        if self.dealer.poll(20):
            self.take(receive(self.dealer))
        elif self.outstanding is not None and time.monotonic() > self.give_up_at:
            self.reconnect()

    def take(self, reply: Message) -> None:
        """Have the credit back, for a drop too; wait a little where the server says that it cannot answer yet."""
        assert reply["id"] == self.outstanding, "a reply to something else than the one frame on its way"
        self.outstanding = None
        if reply["type"] == "result":
            self.results += 1
            self.timeout = self.FIRST_TIMEOUT
        elif reply["type"] == "error":
            assert reply["code"] == "unavailable", reply
            self.send_from = time.monotonic() + self.PAUSE
        else:
            assert (reply["type"], reply["reason"]) == ("dropped", "shutdown"), reply

    def reconnect(self) -> None:
        """Take the credit back with a fresh connection, and be more patient with it than with the last."""
        self.timeouts += 1
        self.outstanding = None
        self.timeout = min(2 * self.timeout, self.LONGEST_TIMEOUT)
        self.dealer.close()
        self.dealer = self.connect(zmq.DEALER, self.port)

    def step_until(self, done: Callable[[], bool]) -> None:
        """Go on until something has happened."""
        deadline = time.monotonic() + PATIENCE
        while not done():
            assert time.monotonic() < deadline, f"{self.sent=} {self.results=} {self.timeouts=}"
            self.step()


def test_a_client_with_credits_survives_the_death_of_its_server(tmp_path: Path, connect: Connect) -> None:
    """A client that keeps to its credit goes on by itself after its server was killed and started anew."""
    with serving(tmp_path) as server:
        client = CreditClient(connect, server.zmq_port, noise())
        client.step_until(lambda: client.results >= 3)
        server.kill()
        timeouts = client.timeouts
        client.step_until(lambda: client.timeouts >= timeouts + 2)
        results = client.results
        server.start()
        client.step_until(lambda: client.results >= results + 3)


def test_a_malformed_message_gets_its_error_and_the_next_frame_its_answer(server: Server, connect: Connect) -> None:
    """Each malformed message of the vectors gets an error with its code, and a good frame after it a result."""
    malformed = [vector for vector in json.loads(VECTORS.read_text())["requests"] if "error" in vector]
    assert malformed
    frame = noise()
    dealer = connect(zmq.DEALER, server.zmq_port)
    for vector in malformed:
        name = vector["name"]
        dealer.send_multipart([base64.b64decode(part) for part in vector["parts_base64"]])
        refusal = receive(dealer)
        assert (refusal["type"], refusal["code"]) == ("error", vector["error"]), name
        assert refusal["code"] in ERROR_CODES, name
        assert refusal["id"] in (None, 1), name
        assert refusal["detail"], name

        send(dealer, {"id": name, "stream": "good", "captured_at": 1.25}, frame)
        answer = receive(dealer)
        assert (answer["type"], answer["id"], answer["stream"]) == ("result", name, "good")
        assert answer["captured_at"] == 1.25
        assert answer["frame"] == {"width": 256, "height": 256}


def test_a_subscription_that_ends_in_nul_brings_one_stream_only(server: Server, connect: Connect) -> None:
    """Who subscribes to `cam1` and a NUL never gets `cam10`, which a subscription without the NUL does get."""
    frame = noise()
    dealer = connect(zmq.DEALER, server.zmq_port)
    exact = connect(zmq.SUB, server.pub_port)
    exact.subscribe(b"cam1\0")
    prefix = connect(zmq.SUB, server.pub_port)
    prefix.subscribe(b"cam1")

    def process(number: str, stream: str) -> None:
        send(dealer, {"id": number, "stream": stream}, frame)
        reply = receive(dealer)
        assert (reply["type"], reply["id"]) == ("result", number)

    def read_until(subscriber: zmq.Socket[bytes], number: str) -> list[tuple[bytes, str, str]]:
        seen: list[tuple[bytes, str, str]] = []
        while not seen or seen[-1][2] != number:
            assert subscriber.poll(1000 * PATIENCE), f"{number} was not published; only {seen}"
            topic, body = subscriber.recv_multipart()
            result = json.loads(body)
            assert result["type"] == "result"
            seen.append((topic, result["stream"], result["id"]))
        return seen

    deadline = time.monotonic() + PATIENCE
    for subscriber in (exact, prefix):  # a subscription takes effect when the server has heard of it, not before
        while not subscriber.poll(50):
            assert time.monotonic() < deadline, "nothing published"
            process("before", "cam1")

    process("neighbour", "cam10")
    process("last", "cam1")
    assert (b"cam10\0", "cam10", "neighbour") in read_until(prefix, "last")
    assert {(topic, stream) for topic, stream, _ in read_until(exact, "last")} == {(b"cam1\0", "cam1")}
