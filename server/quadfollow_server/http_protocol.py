"""uvicorn, made to run inside our event loop, with an end to what one request's head may hold."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from quadfollow_server.problems import document

MAX_HEAD = 64 * 1024
GRACE_SECONDS = 1
"""Time that requests under way get to end once the server stops."""


class BoundedHead(HttpToolsProtocol):
    """Refuses a request whose line and headers go on for too long: httptools itself would collect them for ever."""

    _head = 0
    _in_head = True
    _moved_on = False

    def data_received(self, data: bytes) -> None:
        """Feed the parser, then look how much of a head it has collected without finding its end."""
        self._moved_on = False
        super().data_received(data)
        self._head = self._head + len(data) if self._in_head and not self._moved_on else 0
        if self._head > MAX_HEAD and not self.transport.is_closing():
            self._refuse_head()

    def on_headers_complete(self) -> None:
        """Note that the head has ended."""
        self._in_head, self._moved_on = False, True
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Note that the next head may begin."""
        self._in_head, self._moved_on = True, True
        super().on_message_complete()

    def _refuse_head(self) -> None:
        status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        detail = f"max_head_bytes is limited to {MAX_HEAD}, got at least {self._head}"
        answer = document(status, "limit-exceeded", detail, limit="max_head_bytes", allowed=MAX_HEAD)
        lines = [f"HTTP/1.1 {status.value} {status.phrase}".encode(), b"connection: close"]
        lines += [name + b": " + value for name, value in answer.raw_headers]
        self.transport.write(b"\r\n".join([*lines, b"", bytes(answer.body)]))
        self.transport.close()


class HttpServer(uvicorn.Server):
    """uvicorn on a socket that is already bound; signals are ours to handle."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=BoundedHead,
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="warning",
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=GRACE_SECONDS,
            )
        )

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the process's signal handlers alone."""
        yield

    async def serve_on(self, listening: socket.socket) -> None:
        """Serve until ``should_exit`` is set, then let requests under way end."""
        await self.serve([listening])
