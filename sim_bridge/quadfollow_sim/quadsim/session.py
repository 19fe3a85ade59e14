"""One client's conversation with the endpoint: greeting, pongs, frames in, commands out.

Everything here runs on the endpoint's event loop and nothing waits for whoever uses the frames: a frame is laid in a
mailbox unread, a pong goes out at once. QuadSim leaves its target after 3 s without one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import uuid
from collections import deque
from dataclasses import dataclass

from aiohttp import WSMsgType, web

from quadfollow_core.errors import BadMessage
from quadfollow_sim.quadsim import engineio
from quadfollow_sim.quadsim.engineio import Kind, Packet
from quadfollow_sim.quadsim.mailbox import Mailbox

FRAME_EVENT = "sensor_frame"
OUTBOX = 32
"""Most events that wait for a client that does not read; beyond it the oldest are dropped and counted."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Counts:
    """What the endpoint has seen since it started."""

    clients: int = 0
    refused: int = 0
    """Clients turned away because another one was being served."""
    pings: int = 0
    malformed: int = 0
    """Messages that are no packet, and frames that cannot be read."""
    unknown: int = 0
    """Events by other names than sensor_frame."""
    unsent: int = 0
    """Commands that found no client, or one that does not read."""


@dataclass(frozen=True, slots=True)
class Received:
    """A frame as it came, its JSON not yet read, ``time.monotonic()`` when, and how many came before it."""

    packet: Packet
    at: float
    number: int


@dataclass(frozen=True, slots=True)
class Timing:
    """Engine.IO's times in seconds: between pings, and until a silent peer counts as gone."""

    ping_interval: float = 25.0
    ping_timeout: float = 60.0


class Session:
    """The conversation over one WebSocket.

    Args:
        socket: the WebSocket, already accepted.
        inbox: where frames go.
        counts: the endpoint's counts, kept up to date here.
        timing: what is announced to the client.
        greet_first: whether the client waits for ``40``, as Engine.IO 3's do, rather than sending it.
    """

    def __init__(
        self,
        socket: web.WebSocketResponse,
        inbox: Mailbox[Received],
        counts: Counts,
        timing: Timing,
        *,
        greet_first: bool,
    ) -> None:
        self.id = uuid.uuid4().hex[:20]
        self.last_heard = time.monotonic()
        self._socket = socket
        self._inbox = inbox
        self._counts = counts
        self._timing = timing
        self._greeted = False
        self._greet_first = greet_first
        self._outbox: deque[str] = deque()
        self._waiting = asyncio.Event()

    async def run(self) -> None:
        """Talk until the client goes."""
        tasks = [asyncio.create_task(self._write())]
        try:
            await self._send(engineio.open_packet(self.id, self._timing.ping_interval, self._timing.ping_timeout))
            if self._greet_first:
                await self._greet(Kind.CONNECT)
            tasks.append(asyncio.create_task(self._ping()))
            await self._read()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def offer(self, text: str) -> None:
        """Put an event into the queue to the client."""
        if len(self._outbox) >= OUTBOX:
            self._outbox.popleft()
            self._counts.unsent += 1
        self._outbox.append(text)
        self._waiting.set()

    async def hang_up(self) -> None:
        """Close the connection, waiting for the client's consent only briefly."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._socket.close(), 0.5)

    async def _read(self) -> None:
        async for message in self._socket:
            self.last_heard = time.monotonic()
            if message.type is not WSMsgType.TEXT:
                self._reject("a binary message; QuadSim's protocol is text only")
                continue
            try:
                packet = engineio.parse_packet(message.data)
            except BadMessage as error:
                self._reject(str(error))
                continue
            if packet.kind is Kind.CLOSE:
                return
            await self._answer(packet)

    def _reject(self, reason: str) -> None:
        self._counts.malformed += 1
        log.log(logging.WARNING if self._counts.malformed == 1 else logging.DEBUG, "ignored: %s", reason)

    async def _answer(self, packet: Packet) -> None:
        if packet.kind is Kind.CONNECT:
            await self._connect(packet)
            return
        if not self._greeted:  # QuadSim, which never sends a connect packet
            await self._greet(Kind.CONNECT)
        if packet.kind is Kind.PING:
            self._counts.pings += 1
            await self._send(Kind.PONG + packet.body)
        elif packet.kind is Kind.EVENT:
            await self._accept(packet)

    async def _connect(self, packet: Packet) -> None:
        if packet.namespace != "/":
            await self._send(engineio.refuse_namespace(packet.namespace))
        else:
            await self._greet(engineio.connect_packet(self.id))

    async def _greet(self, text: str) -> None:
        self._greeted = True
        await self._send(text)
        self._waiting.set()

    async def _accept(self, packet: Packet) -> None:
        if packet.event == FRAME_EVENT:
            self._inbox.put(Received(packet, time.monotonic(), self._inbox.received))
        else:
            self._counts.unknown += 1
        if packet.ack:
            await self._send(engineio.ack_packet(packet.ack))

    async def _ping(self) -> None:
        """Ping as Engine.IO 4's clients expect; QuadSim answers too, and takes it for a sign of life."""
        while True:
            await asyncio.sleep(self._timing.ping_interval)
            if time.monotonic() - self.last_heard > self._timing.ping_interval + self._timing.ping_timeout:
                await self.hang_up()
                return
            await self._send(Kind.PING)

    async def _write(self) -> None:
        while True:
            await self._waiting.wait()
            self._waiting.clear()
            while self._greeted and self._outbox:
                await self._send(self._outbox.popleft())

    async def _send(self, text: str) -> None:
        with contextlib.suppress(ConnectionError):
            await self._socket.send_str(text)
