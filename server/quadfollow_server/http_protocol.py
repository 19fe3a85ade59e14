"""uvicorn, made to run inside our event loop, with an end to what one request's head and trailers may hold."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from quadfollow_server.problems import document
from quadfollow_server.settings import MAX_HEAD

GRACE_SECONDS = 1
"""Time that requests under way get to end once the server stops."""


class BoundedHead(HttpToolsProtocol):
    """Refuses a request whose line and headers, or trailers, go on for too long: httptools collects them for ever."""

    _collected = 0
    _in_head = True
    _moved_on = False

    def data_received(self, data: bytes) -> None:
        """Feed the parser, then look how much it has collected that is neither a whole head nor body."""
        self._moved_on = False
        super().data_received(data)
        self._collected = 0 if self._moved_on else self._collected + len(data)
        if self._collected > MAX_HEAD and not self.transport.is_closing():
            self._refuse_head()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; a trailer, which comes after the body, means nothing here."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Note that the head has ended."""
        self._in_head, self._moved_on = False, True
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Note that the body goes on."""
        self._moved_on = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Note that the next head may begin."""
        self._in_head, self._moved_on = True, True
        super().on_message_complete()

    def _refuse_head(self) -> None:
        if not self._in_head and self.cycle.response_started:
            return self.transport.close()
        status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        detail = f"max_head_bytes is limited to {MAX_HEAD}, got at least {self._collected}"
        answer = document(status, "limit-exceeded", detail, limit="max_head_bytes", allowed=MAX_HEAD)
        lines = [f"HTTP/1.1 {status.value} {status.phrase}".encode(), b"connection: close"]
        lines += [name + b": " + value for name, value in answer.raw_headers]
        self.transport.write(b"\r\n".join([*lines, b"", bytes(answer.body)]))
        return self.transport.close()


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
