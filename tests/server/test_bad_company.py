"""Many bad clients at once: 200 whose requests never end, and 50 that never read. Others are answered."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from typing import Any

import httpx

from quadfollow_core import wire
from quadfollow_server.running import RunningServer


def crawling(place: tuple[str, int]) -> socket.socket:
    """A connection whose head has begun."""
    one = socket.create_connection(place, timeout=30)
    one.sendall(b"POST /segment HTTP/1.1\r\nHost: x\r\nx-a: ")
    return one


def deaf(place: tuple[str, int]) -> socket.socket:
    """A connection that asked many things one after the other, and does not read."""
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    one.connect(place)
    one.sendall(b"GET /info HTTP/1.1\r\nHost: x\r\n\r\n" * 50)
    return one


def test_bad_company_keeps_nobody_from_being_answered(server: RunningServer, dealer: Any, png: bytes) -> None:
    """Beside them, each frame of a good client at either door is answered."""
    place = ("127.0.0.1", server.service.ports.http)
    with ExitStack() as held, httpx.Client(base_url=server.url, timeout=30) as http:
        for kind, count in ((crawling, 200), (deaf, 25)):
            for _ in range(count):
                held.enter_context(kind(place))
        for _ in range(25):
            silent = dealer(server.address, rcvhwm=1, rcvbuf=4096)
            for number in range(100):
                silent.raw(*wire.encode_ping(f"{number:>100}"))
        client = dealer(server.address)
        for number in range(20):
            assert client.ask(number)["type"] == "result"
            assert http.post("/segment", content=png).json()["target"]
