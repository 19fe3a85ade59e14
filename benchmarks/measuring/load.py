"""A load client that costs little and says how much: closed loop, each client asks again once it is answered.

What counts are the requests sent within the measured time. At its end nobody asks again, but the answers that are
still to come are waited for, so that slow ones are seen too. In a closed loop as many are sent as come, so that the
number of these answers per measured second is also the server's rate.

Run as a process of its own, so that its work is told apart from the server's: one JSON object in (see :class:`Plan`),
one out (see :func:`report`). HTTP requests are made of bytes beforehand and answers parsed by httptools, on uvloop.
"""

from __future__ import annotations

import asyncio
import base64
import json
import math
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import Any, cast

import httptools
import uvloop
import zmq

DRAIN = 10.0
"""Longest wait for the last answers, in seconds."""


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
    """Milliseconds of each request that was sent within the measured time and answered well, whenever that was."""
    errors: int = 0
    """Requests of the measured time that were refused or never answered, and connections that the server refused or
    ended."""
    asked: int = 0
    """Answers since the process began, refusals and those of the warm-up too."""
    answered: int = 0
    """Those of them that were no refusals."""
    waiting: int = 0
    """Requests that are not answered yet."""
    began: float = math.inf
    ends: float = math.inf
    cpu: float = field(default_factory=time.process_time)
    """Processor time of this process when the book was made."""

    def open(self, seconds: float) -> None:
        """Begin to measure."""
        self.began = time.perf_counter()
        self.ends = self.began + seconds

    @property
    def is_over(self) -> bool:
        """Whether nothing is to be sent any more."""
        return time.perf_counter() >= self.ends

    @property
    def is_done(self) -> bool:
        """Whether nothing is to be waited for any more either."""
        return self.is_over and (self.waiting == 0 or time.perf_counter() >= self.ends + DRAIN)

    def send(self) -> float:
        """Note a request, and return when it is sent."""
        self.waiting += 1
        return time.perf_counter()

    def note(self, sent: float, well: bool) -> None:
        """Note an answer that came just now."""
        self.waiting -= 1
        self.asked += 1
        self.answered += well
        if not self.began <= sent < self.ends:
            return
        if well:
            self.latencies.append(1000 * (time.perf_counter() - sent))
        else:
            self.errors += 1

    def lose(self, requests: int) -> None:
        """Note requests that will not be answered."""
        self.waiting -= requests
        self.errors += requests


class HttpAsker(asyncio.Protocol):
    """One connection, kept open."""

    def __init__(self, request: bytes, book: Book) -> None:
        self._request = request
        self._book = book
        self._parser = httptools.HttpResponseParser(self)
        self._sent = 0.0
        self._waits = self.stopped = False

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
            self._book.lose(int(self._waits))

    def on_message_complete(self) -> None:
        """Note the answer, and ask again."""
        self._waits = False
        self._book.note(self._sent, self._parser.get_status_code() == 200)
        if not self._book.is_over:
            self._ask()

    def _ask(self) -> None:
        self._sent, self._waits = self._book.send(), True
        self._transport.write(self._request)


async def load_http(plan: Plan) -> Book:
    """Ask over HTTP."""
    book, loop = Book(), asyncio.get_running_loop()
    (request,) = plan.parts
    made = []
    for _ in range(plan.clients):
        try:
            made.append(await loop.create_connection(lambda: HttpAsker(request, book), plan.host, plan.port))
        except OSError:  # a server that is gone is a finding, and the other servers are still to be asked
            book.errors += 1
    await asyncio.sleep(plan.warm_up)
    book.open(plan.seconds)
    await asyncio.sleep(plan.seconds)
    while not book.is_done:
        await asyncio.sleep(0.02)
    for transport, asker in made:
        asker.stopped = True
        transport.close()
    return book


def load_zmq(plan: Plan) -> Book:
    """Ask over ZeroMQ, by one DEALER per client."""
    book = Book()
    with zmq.Context() as context:
        poller, sent, parts = zmq.Poller(), dict[zmq.Socket[bytes], float](), plan.parts
        for _ in range(plan.clients):
            dealer = context.socket(zmq.DEALER)
            dealer.linger = 0
            dealer.connect(f"tcp://{plan.host}:{plan.port}")
            poller.register(dealer, zmq.POLLIN)
            sent[dealer] = book.send()
            dealer.send_multipart(parts)
        warm = time.perf_counter() + plan.warm_up
        while not book.is_done:
            if book.began == math.inf and time.perf_counter() >= warm:
                book.open(plan.seconds)
            for dealer, _ in poller.poll(20):
                answer = dealer.recv_multipart()
                book.note(sent[dealer], b'"type":"result"' in answer[1][:40])
                if not book.is_over:
                    sent[dealer] = book.send()
                    dealer.send_multipart(parts)
        for dealer in sent:
            dealer.close()
    return book


def report(plan: Plan, book: Book) -> dict[str, Any]:
    """What was measured; what is still unanswered counts as an error.

    ``latencies`` in ms and ``errors`` are of the requests of the measured ``seconds``; ``asked`` and ``answered`` are
    of the whole run, and so is the processor time ``cpu_ms`` that one answer cost this client.
    """
    book.lose(book.waiting)
    return {
        "latencies": [round(value, 3) for value in book.latencies],
        "errors": book.errors,
        "asked": book.asked,
        "answered": book.answered,
        "seconds": plan.seconds,
        "cpu_ms": 1000 * (time.process_time() - book.cpu) / max(1, book.answered),
    }


def main() -> None:
    """Read the plan, carry it out, write what came of it."""
    plan = Plan(**json.load(sys.stdin))
    book = load_zmq(plan) if plan.door == "zmq" else uvloop.run(load_http(plan))
    json.dump(report(plan, book), sys.stdout)


if __name__ == "__main__":
    main()
