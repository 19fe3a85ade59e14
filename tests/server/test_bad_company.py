"""Many bad clients at once: 200 whose requests never end, and 50 that never read. Others are answered."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import httpx
import psutil
import pytest

from quadfollow_core import wire
from quadfollow_server import http_protocol
from quadfollow_server.running import RunningServer

MORE_THAN_A_SYSTEM_KEEPS = 2**23
"""Bytes for a connection that does not read, beyond which they stay with the server."""
LONG = 128 * "\N{GRINNING FACE}"
"""The longest name that a ping may have."""


def crawling(place: tuple[str, int]) -> socket.socket:
    """A connection whose head has begun."""
    one = socket.create_connection(place, timeout=30)
    one.sendall(b"POST /segment HTTP/1.1\r\nHost: x\r\nx-a: ")
    return one


def deaf(place: tuple[str, int], times: int) -> socket.socket:
    """A connection that asked for a long page many times in a row, and does not read."""
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    one.connect(place)
    one.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * times)
    return one


def held_at(port: int) -> int:
    """How many connections the server's end of which is at a port are there."""
    there = psutil.Process().net_connections("tcp")
    return sum(one.laddr.port == port and one.status == psutil.CONN_ESTABLISHED for one in there)


def test_bad_company_keeps_nobody_from_being_answered(
    constant: Callable[..., Any], dealer: Any, png: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside them, while all of them are there and their answers pile up, each frame of a good client is answered."""
    monkeypatch.setattr(http_protocol, "UPLOAD_SECONDS", 600.0)
    with (
        RunningServer(segmenters=[constant()]) as server,
        ExitStack() as held,
        httpx.Client(base_url=server.url, timeout=60) as http,
    ):
        place = ("127.0.0.1", server.service.ports.http)
        times = MORE_THAN_A_SYSTEM_KEEPS // len(http.get("/openapi.json").content)
        for _ in range(200):
            held.enter_context(crawling(place))
        for _ in range(25):
            held.enter_context(deaf(place, times))
        silent = [dealer(server.address, rcvhwm=1, rcvbuf=4096) for _ in range(25)]
        while "quadfollow_undeliverable_total 0.0" in http.get("/metrics").text:
            for one in silent:
                for _ in range(200):
                    one.raw(*wire.encode_ping(LONG))
        client = dealer(server.address)
        for number in range(20):
            assert client.ask(number)["type"] == "result"
            assert http.post("/segment", content=png).json()["target"]
        assert held_at(server.service.ports.http) >= 225
        assert held_at(server.service.ports.zmq) > 25
