"""A load client that costs little and says how much: closed loop, each client asks again once it is answered.

Run as a process of its own, so that its work is told apart from the server's: one JSON object in (see :class:`Plan`),
one out (see :func:`report`). HTTP requests are made of bytes beforehand and answers parsed by httptools, on uvloop.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import Any, cast

import httptools
import uvloop
import zmq


@dataclass(frozen=True, slots=True)
class Plan:
    """Who is asked what, by how many clients and for how long. Byte strings are in base64."""

    door: str
    """``http`` or ``zmq``."""
    host: str
    port: int
    message: tuple[str, ...]
    """The whole HTTP request, or the parts of the ZeroMQ message."""
    clients: int = 1
    seconds: float = 2.0
    warm_up: float = 0.5

    def to_json(self) -> str:
        """Write it for the load process."""
        return json.dumps(asdict(self))

    @property
    def parts(self) -> list[bytes]:
        """The message's bytes."""
        return [base64.b64decode(part) for part in self.message]


@dataclass(slots=True)
class Book:
    """What the clients have seen so far."""

    latencies: list[float] = field(default_factory=list)
    """Milliseconds of each request that was answered within the measured time."""
    asked: int = 0
    """Answers since the process began, those of the warm-up too."""
    errors: int = 0
    began: float = 0.0
    ends: float = 0.0
    cpu: float = 0.0

    def open(self, seconds: float) -> None:
        """Begin to measure."""
        self.latencies.clear()
        self.errors = 0
        self.began, self.cpu = time.perf_counter(), time.process_time()
        self.ends = self.began + seconds

    def note(self, sent: float, well: bool) -> None:
        """Note an answer that came just now; what comes after the end is not counted."""
        now = time.perf_counter()
        self.asked += 1
        if now > self.ends and self.ends:
            return
        if well:
            self.latencies.append(1000 * (now - sent))
        else:
            self.errors += 1


class HttpAsker(asyncio.Protocol):
    """One connection, kept open."""

    def __init__(self, request: bytes, book: Book) -> None:
        self._request = request
        self._book = book
        self._parser = httptools.HttpResponseParser(self)
        self._sent = 0.0
        self.stopped = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the first time."""
        self._transport = cast(asyncio.WriteTransport, transport)
        self._ask()

    def data_received(self, data: bytes) -> None:
        """Feed the parser."""
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Count a server that hangs up; a benchmark of such a server would be one of connections."""
        if not self.stopped:
            self._book.errors += 1

    def on_message_complete(self) -> None:
        """Note the answer, and ask again."""
        self._book.note(self._sent, self._parser.get_status_code() == 200)
        if not self.stopped:
            self._ask()

    def _ask(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(self._request)


async def load_http(plan: Plan) -> Book:
    """Ask over HTTP."""
    book, loop = Book(), asyncio.get_running_loop()
    (request,) = plan.parts
    made = [
        await loop.create_connection(lambda: HttpAsker(request, book), plan.host, plan.port)
        for _ in range(plan.clients)
    ]
    await asyncio.sleep(plan.warm_up)
    book.open(plan.seconds)
    await asyncio.sleep(plan.seconds)
    book.cpu = time.process_time() - book.cpu
    for transport, asker in made:
        asker.stopped = True
        transport.close()
    return book


def load_zmq(plan: Plan) -> Book:
    """Ask over ZeroMQ, by one DEALER per client."""
    book = Book()
    with zmq.Context() as context:
        poller, sent = zmq.Poller(), {}
        for _ in range(plan.clients):
            dealer = context.socket(zmq.DEALER)
            dealer.linger = 0
            dealer.connect(f"tcp://{plan.host}:{plan.port}")
            poller.register(dealer, zmq.POLLIN)
            dealer.send_multipart(plan.parts)
            sent[dealer] = time.perf_counter()
        _ask_until(time.perf_counter() + plan.warm_up, poller, sent, plan.parts, book)
        book.open(plan.seconds)
        _ask_until(book.ends, poller, sent, plan.parts, book)
        book.cpu = time.process_time() - book.cpu
        for dealer in sent:
            dealer.close()
    return book


def _ask_until(
    end: float, poller: zmq.Poller, sent: dict[zmq.Socket[bytes], float], parts: list[bytes], book: Book
) -> None:
    while (left := end - time.perf_counter()) > 0:
        for dealer, _ in poller.poll(max(1, int(1000 * left))):
            answer = dealer.recv_multipart()
            book.note(sent[dealer], b'"type":"result"' in answer[1][:40])
            sent[dealer] = time.perf_counter()
            dealer.send_multipart(parts)


def report(plan: Plan, book: Book) -> dict[str, Any]:
    """What was measured: ``latencies`` in ms, ``errors``, how many were ``asked`` with the warm-up's, and the
    processor time ``cpu_ms`` that one request cost this client."""
    return {
        "latencies": [round(value, 3) for value in book.latencies],
        "errors": book.errors,
        "asked": book.asked,
        "seconds": plan.seconds,
        "cpu_ms": 1000 * book.cpu / max(1, len(book.latencies)),
    }


def main() -> None:
    """Read the plan, carry it out, write what came of it."""
    plan = Plan(**json.load(sys.stdin))
    book = load_zmq(plan) if plan.door == "zmq" else uvloop.run(load_http(plan))
    json.dump(report(plan, book), sys.stdout)


if __name__ == "__main__":
    main()
