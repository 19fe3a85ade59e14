"""A client over HTTP that adds as little as can be to what it measures."""

from __future__ import annotations

import socket
from types import TracebackType

import httptools

from measuring.servers import HOST
from quadfollow_core.errors import ServerGone


class HttpClient:
    """One connection, made at the first request and kept open: its bytes are sent at once, answers parsed by httptools.

    Args:
        port: the server's, on this machine.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._connection: socket.socket | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._body: list[bytes] = []
        self._complete = False

    def __enter__(self) -> HttpClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._connection is not None:
            self._connection.close()

    def ask(self, request: bytes) -> bytes:
        """Send a whole request and return its answer's body.

        Raises:
            ServerGone: the server hangs up, or answers anything but 200.
        """
        self._body, self._complete = [], False
        if self._connection is None:
            self._connection = socket.create_connection((HOST, self._port), timeout=30)
            self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection.sendall(request)
        while not self._complete:
            data = self._connection.recv(65536)
            if not data:
                raise ServerGone("the server closed the connection")
            self._parser.feed_data(data)
        body = b"".join(self._body)
        if (status := self._parser.get_status_code()) != 200:
            raise ServerGone(f"a frame was answered with {status}: {body[:200]!r}")
        return body

    def on_body(self, data: bytes) -> None:
        """Keep a piece of the answer; called by the parser."""
        self._body.append(data)

    def on_message_complete(self) -> None:
        """Note the answer's end; called by the parser."""
        self._complete = True
