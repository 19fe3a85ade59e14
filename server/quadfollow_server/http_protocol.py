"""uvicorn, made to run inside our event loop, with an end to heads and trailers, and to answers that nobody reads."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from quadfollow_server.http_gate import OPEN, SECURITY_HEADERS
from quadfollow_server.metrics import Metrics
from quadfollow_server.problems import document
from quadfollow_server.settings import MAX_HEAD, UPLOAD_SECONDS

GRACE_SECONDS = 1
"""Time that requests under way get to end once the server stops."""
KEEP_ALIVE_SECONDS = 30
"""Time for which a connection is kept without a request: uvicorn's 5 would often end just as a slow camera posts."""
UNREAD_SECONDS = 30.0
"""Time in which a client must read some of what waits for it."""
PIECE = 64 * 1024
"""Most bytes of an answer that are written at once."""
PING_SECONDS = 20.0
"""Time between a viewer's answer to a ping and the next ping."""
PATIENCE_SECONDS = 60.0
"""Time in which a viewer must answer a ping, which may wait behind a large picture on a slow line."""
MAX_MESSAGE = 4096
"""Bytes of the longest message that is taken from a WebSocket."""
CONTINUE = b"HTTP/1.1 100 "
"""How what may come before the head of an answer begins."""
SURPLUS = 16
"""Connections beyond the most there may be, which only probes are answered on: a full house is no dead one."""
MAPPED = "::ffff:"
"""How a client's address of IPv4 begins at a server that listens on both; among the proxies to believe it has none."""
PROBES = (*OPEN, "/metrics")
SURPLUS_SECONDS = 1.0
"""Time in which such a connection must ask."""
CLIENTS_DOING = frozenset(
    {
        "Invalid HTTP request received.",
        "Unsupported upgrade request.",
        "Invalid UTF-8 sequence received from client.",
    }
)
"""What uvicorn would log at each nonsense that a client sends: as many lines as a stranger likes."""


class _TooLong(Exception):
    """Ends the parser's work on a head, or trailers, of more than ``MAX_HEAD``."""


class MustRead(asyncio.Protocol):
    """Cuts off a client that reads nothing of what waits for it: a mere close would wait for that, maybe for ever."""

    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    _looking: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Have :meth:`pause_writing` called as soon as anything waits, so that nothing is added to it meanwhile."""
        super().connection_made(transport)
        self.transport.set_write_buffer_limits(1)  # with 0, uvloop's TLS would not write at all

    def connection_lost(self, exc: Exception | None) -> None:
        """Look no more."""
        self._look_no_more()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Begin to look whether the client reads."""
        super().pause_writing()
        self._look_later()

    def resume_writing(self) -> None:
        """Look no more: nothing waits."""
        self._look_no_more()
        super().resume_writing()

    def _look_later(self) -> None:
        self._looking = self.loop.call_later(UNREAD_SECONDS, self._look, self.transport.get_write_buffer_size())

    def _look_no_more(self) -> None:
        if self._looking is not None:
            self._looking.cancel()

    def _look(self, before: int) -> None:
        if self.transport.get_write_buffer_size() < before:
            self._look_later()
        else:
            self.transport.abort()


class _HeadWithBody:
    """A connection as one answer sees it: its head waits for the first piece of the body, and both leave in one packet.

    The transport alone would write each at once, since nothing may wait in it unnoticed (see :class:`MustRead`).
    """

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._transport = cycle.transport
        self._head = b""
        self._is_head_due = cycle.scope["method"] != "HEAD"
        self.close, self.is_closing = self._transport.close, self._transport.is_closing

    def write(self, data: bytes) -> None:
        """Write, except for the head."""
        if self._is_head_due and not data.startswith(CONTINUE):
            self._is_head_due, self._head = False, data
        else:
            self._transport.write(self._head + data if self._head else data)
            self._head = b""


class BoundedHead(MustRead, HttpToolsProtocol):
    """Refuses a request whose line and headers, or trailers, go on for too long: httptools collects them for ever.

    A connection that does not bring a head to its end in time is closed, and one with a body that nobody waits for.
    When a connection is lost, all requests that came over it hear of that, not only the last one.
    """

    max_connections: int
    metrics: Metrics
    _is_surplus = False
    _collected = 0
    _head = 0
    _in_head = True
    _moved_on = False
    _receiving: RequestResponseCycle | None = None
    """The request whose body is on its way."""
    _patience: asyncio.TimerHandle | None = None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._unanswered: deque[RequestResponseCycle] = deque()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first head, or turn away one connection too many; probes are answered all the same."""
        super().connection_made(transport)
        if self.client is not None:
            self.client = self.client[0].removeprefix(MAPPED), self.client[1]
        beyond = len(self.connections) - self.max_connections
        if beyond > 0:
            self._is_surplus = True
            self.app = self._probes_only(self.app)
        if beyond > SURPLUS:
            self._refuse_surplus()
        else:
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more, and have nothing more written for requests that were sent one after the other."""
        self._head_ended()
        for cycle in self._unanswered:
            cycle.disconnected = True
            cycle.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser, then look how much it has collected that is neither a whole head nor body."""
        self._moved_on = False
        super().data_received(data)
        self._collected = 0 if self._moved_on else self._collected + len(data)
        if self._collected > MAX_HEAD and not self.transport.is_closing():
            self._refuse_head(self._collected)
        if (self._in_head and not self._moved_on) or self._is_owed_a_body:
            self._await_head()

    def on_url(self, url: bytes) -> None:
        """Take a piece of the request line."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; a trailer, which comes after the body, means nothing here."""
        self._count(len(name) + len(value) + len(b": \r\n"))
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Note that the head has ended."""
        self._in_head, self._moved_on, self._head = False, True, 0
        self._head_ended()
        before = self.cycle
        super().on_headers_complete()
        while self._unanswered and self._unanswered[0].response_complete:
            self._unanswered.popleft()
        if self.cycle is not before:
            self.cycle.transport = cast(asyncio.Transport, _HeadWithBody(self.cycle))
            self._receiving = self.cycle
            self._unanswered.append(self.cycle)

    def on_body(self, body: bytes) -> None:
        """Note that the body goes on."""
        self._moved_on = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Note that the next head may begin."""
        self._in_head, self._moved_on, self._head = True, True, 0
        self._head_ended()
        super().on_message_complete()
        self._receiving = None

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection to a WebSocket, unless that makes nothing of the request: it would wait for ever.

        Nor does it get one over which an answer waits to be read: it would take no notice of that.
        """
        if self._is_surplus:
            return self._refuse_surplus()
        if self.flow.write_paused:
            return self.transport.close()
        super().handle_websocket_upgrade()
        websocket: Any = self.transport.get_protocol()
        if not websocket.handshake_initiated:
            self._turn_away(400, "bad-message", "this is no request for a WebSocket, which has no body")
        return None

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP as every other error is answered, and a head that came whole but is too long."""
        if self._head > MAX_HEAD:
            return self._refuse_head(self._head)
        return self._turn_away(400, "bad-message", msg)

    def _refuse_surplus(self) -> None:
        self.metrics.refuse("http", "connections")
        self._turn_away(503, "overloaded", **self._full())

    def _full(self) -> dict[str, Any]:
        most = self.max_connections
        return {
            "detail": f"max_connections is limited to {most}: try again",
            "limit": "max_connections",
            "allowed": most,
        }

    def _probes_only(self, app: ASGIApp) -> ASGIApp:
        """The application as a connection too many sees it, which ends with its first answer."""

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            async def last(message: Message) -> None:
                if message["type"] == "http.response.start":
                    message["headers"] = [*message["headers"], (b"connection", b"close")]
                await send(message)

            if scope["type"] == "http" and scope["path"] in PROBES:
                return await app(scope, receive, last)
            self.metrics.refuse("http", "connections")
            refusal = document(HTTPStatus.SERVICE_UNAVAILABLE, "overloaded", headers=SECURITY_HEADERS, **self._full())
            return await refusal(scope, receive, last)

        return answer

    @property
    def _is_owed_a_body(self) -> bool:
        """Whether a body is under way that no application waits for: the request was answered without it."""
        return not self._in_head and (self.cycle is None or self.cycle.response_complete)

    @property
    def _may_answer(self) -> bool:
        """Whether the client would take what is written now for an answer to what it is sending."""
        return all(
            not cycle.response_started if cycle is self._receiving else cycle.response_complete
            for cycle in self._unanswered
        )

    def _await_head(self) -> None:
        if self._patience is None and not self.transport.is_closing():
            self._patience = self.loop.call_later(
                SURPLUS_SECONDS if self._is_surplus else UPLOAD_SECONDS, self._give_up
            )

    def _head_ended(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _give_up(self) -> None:
        self._patience = None
        if self._is_surplus and self.cycle is None:
            self._refuse_surplus()
        elif self.cycle is None or self.cycle.response_complete:  # else an earlier request is still being answered
            self.transport.close()

    def _count(self, size: int) -> None:
        self._head += size
        if self._head > MAX_HEAD:
            raise _TooLong

    def _refuse_head(self, size: int) -> None:
        detail = f"max_head_bytes is limited to {MAX_HEAD}, got at least {size}"
        return self._turn_away(431, "limit-exceeded", detail, limit="max_head_bytes", allowed=MAX_HEAD)

    def _turn_away(self, number: int, code: str, detail: str, **extra: object) -> None:
        """Answer in place of the application, and hang up; only that where another request's answer is due first."""
        if not self._may_answer:
            return self.transport.close()
        status = HTTPStatus(number)
        answer = document(status, code, detail, headers=SECURITY_HEADERS, **extra)
        lines = [f"HTTP/1.1 {status.value} {status.phrase}".encode(), b"connection: close"]
        lines += [name + b": " + value for name, value in answer.raw_headers]
        self.transport.write(b"\r\n".join([*lines, b"", bytes(answer.body)]))
        return self.transport.close()


class BoundedSocket(MustRead, WebSocketsSansIOProtocol):
    """A viewer's connection, which may end with the server although it is ending by itself already."""

    def shutdown(self) -> None:
        """End it; uvicorn fails to say goodbye to who has said so first, and has not read everything yet."""
        if self.transport.is_closing():
            self.transport.abort()
        else:
            super().shutdown()


class HttpServer(uvicorn.Server):
    """uvicorn on a socket that is already bound; signals are ours to handle."""

    def __init__(self, app: ASGIApp, max_connections: int, metrics: Metrics, **options: Any) -> None:
        logging.getLogger("uvicorn.error").addFilter(_is_news)
        logging.getLogger("python_multipart").setLevel(logging.ERROR)  # each body that is no form, again and again
        super().__init__(
            uvicorn.Config(
                _in_pieces(app),
                http=type("Bounded", (BoundedHead,), {"max_connections": max_connections, "metrics": metrics}),
                ws=BoundedSocket,
                ws_max_size=MAX_MESSAGE,
                ws_ping_interval=PING_SECONDS,
                ws_ping_timeout=PATIENCE_SECONDS,
                ws_per_message_deflate=False,  # a JPEG does not get smaller
                lifespan="off",
                log_config=None,
                log_level="warning",
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=GRACE_SECONDS,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                **options,
            )
        )

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the process's signal handlers alone."""
        yield

    async def serve_on(self, listening: socket.socket) -> None:
        """Serve until ``should_exit`` is set, then let requests under way end."""
        await self.serve([listening])


def _in_pieces(app: ASGIApp) -> ASGIApp:
    """Have an answer written piece by piece, as it is read: until then it is under way, and no connection idle."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        async def write(message: Message) -> None:
            while len(rest := memoryview(message.get("body", b""))) > PIECE:
                await send({**message, "body": rest[:PIECE], "more_body": True})
                message = {**message, "body": rest[PIECE:]}
            await send(message)

        await app(scope, receive, write)

    return answer


def _is_news(record: logging.LogRecord) -> bool:
    return record.msg not in CLIENTS_DOING
