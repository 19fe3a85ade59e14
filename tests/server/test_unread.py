"""Clients that read nothing of what they are sent are cut off, slow ones are not: over real sockets, plain and TLS."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import trustme
from starlette.types import Receive, Scope, Send

from quadfollow_server import http_protocol
from quadfollow_server.http_protocol import HttpServer
from quadfollow_server.metrics import Metrics
from quadfollow_server.serve import _new_loop

LARGE = bytes(32 * 2**20)
"""More than any kernel keeps for a connection."""
PIECE = 2**18
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
UPGRADE = (
    b"GET /view HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
CLOSE = b"\x88\x80" + bytes(4)
DEAF = {
    "idle": (REQUEST, b""),
    "close": (REQUEST.replace(b"Host", b"Connection: close\r\nHost"), b""),
    "old": (b"GET / HTTP/1.0\r\n\r\n", b""),
    "another request": (REQUEST, REQUEST),
    "nonsense": (REQUEST, b"nonsense\r\n\r\n"),
    "viewer": (UPGRADE, b""),
    "viewer that leaves": (UPGRADE, CLOSE),
}
"""What is asked before and after the first bytes of the answer have been read, which are all that is."""


async def large(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer each request with something large; send each viewer as much in messages."""
    if scope["type"] == "http":
        headers = [(b"content-length", str(len(LARGE)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": LARGE})
    else:
        await send({"type": "websocket.accept"})
        for _ in range(len(LARGE) // PIECE):
            await send({"type": "websocket.send", "bytes": LARGE[:PIECE]})


@contextmanager
def serving(**options: Any) -> Iterator[tuple[HttpServer, tuple[str, int]]]:
    """The HTTP door alone, and where it is."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = HttpServer(large, 8, Metrics(), **options)

        def run() -> None:
            with asyncio.Runner(loop_factory=_new_loop) as runner:
                runner.run(server.serve_on(listening))

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield server, listening.getsockname()
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(params=["plain", "tls"])
def secured(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[dict[str, str], Callable[..., socket.socket]]:
    """The door's options, and how a client's socket is made to speak as it does."""
    if request.param == "plain":
        return {}, lambda raw: raw
    authority, trust = trustme.CA(), ssl.create_default_context()
    authority.configure_trust(trust)
    issued, file = authority.issue_cert("127.0.0.1"), str(tmp_path / "server.pem")
    issued.private_key_and_cert_chain_pem.write_to_path(file)
    return {"ssl_certfile": file}, lambda raw: trust.wrap_socket(raw, server_hostname="127.0.0.1")


@pytest.mark.parametrize(("asked", "then"), DEAF.values(), ids=DEAF)
def test_a_client_that_reads_nothing_is_cut_off(
    asked: bytes, then: bytes, secured: Any, until: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it says beside that, its connection ends in time, with all that was kept for it."""
    monkeypatch.setattr(http_protocol, "UNREAD_SECONDS", 0.2)
    options, secure = secured
    with serving(**options) as (server, place), secure(socket.create_connection(place, timeout=60)) as client:
        with suppress(OSError):  # it may be over already
            client.sendall(asked)
            client.recv(16)
            client.sendall(then)
        until(lambda: not server.server_state.connections)


def test_a_client_that_reads_slowly_gets_everything(secured: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it takes in all, none that goes on reading is cut off; once it has everything it is idle."""
    monkeypatch.setattr(http_protocol, "UNREAD_SECONDS", 1.0)
    monkeypatch.setattr(http_protocol, "KEEP_ALIVE_SECONDS", 0.3)
    options, secure = secured
    while True:
        read, rest, last = 0, 0.0, time.monotonic()
        with serving(**options) as (_, place), secure(socket.create_connection(place, timeout=60)) as client:
            client.sendall(REQUEST)
            while part := client.recv(PIECE):
                read += len(part)
                time.sleep(0.03 * len(part) / PIECE)
                rest, last = max(rest, time.monotonic() - last), time.monotonic()
        if read > len(LARGE):
            return
        assert rest > 0.3, "cut off although it read all the time"


def test_no_websocket_begins_before_an_answer_has_been_read() -> None:
    """Whoever asks for one behind an answer that waits is no viewer: it would be sent more than is kept for it."""
    with serving() as (_, place), socket.create_connection(place, timeout=60) as client:
        client.sendall(REQUEST)
        answer = bytearray(client.recv(16))
        client.sendall(UPGRADE)
        while part := client.recv(PIECE):
            answer += part
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"HTTP/1.1 101" not in answer


def test_the_server_stops_while_a_viewer_that_leaves_has_not_read_everything(until: Callable[..., None]) -> None:
    """It ends as ever: the viewer has said goodbye already."""
    with socket.socket() as client, serving() as (server, place):
        client.connect(place)
        client.sendall(UPGRADE)
        assert client.recv(16).startswith(b"HTTP/1.1 101")
        client.sendall(CLOSE)
        until(lambda: all(one.transport.is_closing() for one in server.server_state.connections))
