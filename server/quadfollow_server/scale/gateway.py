"""The gateway of a scaled server: its ZeroMQ doors, behind which replicas come and go.

Clients meet the wire of :mod:`quadfollow_core.wire` on the usual ports. Replicas connect to two more, as DEALER and
XPUB, and meet there what they would meet as a server of their own: ``client, request…`` in, ``client, reply…`` out.
Where the client's name is empty, gateway and replica speak with each other: a ``pong`` is a sign of life, ``bye`` says
that a replica takes no more frames.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import zmq

from quadfollow_core import wire
from quadfollow_core.errors import LimitExceeded, Overloaded, QuadfollowError, Unavailable
from quadfollow_core.request import Bytes, FrameRequest, Result
from quadfollow_server.binding import bind, bound_zmq, bracketed, limit_router, port_of
from quadfollow_server.jobs import Dropped, as_known
from quadfollow_server.scale.spread import Flight, Leaving, Spread
from quadfollow_server.settings import Settings
from quadfollow_server.zmq_door import dropped_body, error_body, named
from quadfollow_server.zmq_reader import MessageReader

log = logging.getLogger(__name__)

TICK = 0.1
"""Seconds between two looks at who is still there: how long a frame that died with its replica goes unnoticed."""
SILENCE = 3.0
"""Seconds without a sign of life after which a replica counts as gone."""
BEAT = 1000
"""Milliseconds between two heartbeats of ZeroMQ itself, which end a connection whose other end lost its power."""
MAX_UNSENT = 64
"""Frames kept for a replica that does not take them."""
CLOSED = "its connection ended"
GONE = "the replica that had this frame is gone: send the next one"
LATE = "no replica answered this frame in time: send the next one"


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a gateway is reached."""

    frames: str
    """By replicas, for frames."""
    results: str
    """By replicas, for what they publish."""
    zmq: int
    """By clients: the ROUTER's port."""
    pub: int
    """By subscribers: the PUB's port."""


class Gateway:
    """Spreads streams over replicas, on the event loop it was made on.

    Args:
        settings: gives ``host``, ``zmq_port``, ``pub_port``, ``access`` and ``max_body_bytes``.
        host: this machine's IP address as its replicas reach it.

    Raises:
        NotFound, BadInput, Unavailable: see :meth:`quadfollow_server.access.Access.clients` and
            :func:`quadfollow_server.binding.bound`.
    """

    def __init__(self, settings: Settings, host: str = "127.0.0.1") -> None:
        self._settings = settings
        self._spread = Spread()
        self._stack = ExitStack()
        front = self._stack.enter_context(bound_zmq(settings, settings.access.clients()))
        self._front, self._pub = front.router, front.pub
        self._back, self._results = front.context.socket(zmq.ROUTER), front.context.socket(zmq.XSUB)
        limit_router(self._back, settings)
        self._back.sndhwm = MAX_UNSENT
        for socket in (self._back, self._results):  # what is set later is not for those who connect
            socket.linger = 0
            socket.heartbeat_ivl, socket.heartbeat_timeout = BEAT, 2 * BEAT
            bind(socket, "the gateway", host, 0, "--host")
        self.addresses = Addresses(
            f"tcp://{bracketed(host)}:{port_of(self._back)}",
            f"tcp://{bracketed(host)}:{port_of(self._results)}",
            port_of(self._front),
            port_of(self._pub),
        )
        self._readers = [
            MessageReader(self._front, self._from_client),
            MessageReader(self._back, self._from_replica),
            MessageReader(self._results, self._publish),
            MessageReader(self._pub, self._subscribe),
        ]
        for reader in self._readers:
            reader.start()
        self._tasks = [
            asyncio.create_task(self._look()),
            asyncio.create_task(front.gate.watch((front.router, front.pub))),
        ]

    @property
    def streams(self) -> dict[str, int]:
        """How many streams each replica has."""
        return {_shown(name): self._spread.lanes_of(name) for name in self._spread.replicas}

    def close(self) -> None:
        """Tell the clients of all that is under way, and end."""
        for task in self._tasks:
            task.cancel()
        for flight in list(self._spread.flights()):
            self._refuse(flight, Unavailable("the gateway is stopping"))
        for reader in self._readers:
            reader.stop()
        self._front.close(linger=500)
        for socket in (self._back, self._results):
            socket.close(0)
        self._stack.close()

    def _from_client(self, client: bytes, parts: list[memoryview]) -> None:
        try:
            asked = self._decode(parts)
        except Exception as error:  # noqa: BLE001  no message may stall the door
            number, stream = named(parts)
            return self._reply(client, error_body(as_known(error, "reading a message"), number, stream))
        if isinstance(asked, wire.Ping):
            return self._reply(client, {"type": "pong", "id": asked.id})
        try:
            self._pass_on(client, asked, parts)
        except Leaving:
            self._reply(client, dropped_body(Dropped("shutdown", 0.0), asked))
        except QuadfollowError as error:
            self._reply(client, error_body(error, asked.id, asked.stream))
        return None

    def _decode(self, parts: Sequence[memoryview]) -> FrameRequest | wire.Ping:
        size, most = sum(len(part) for part in parts), self._settings.max_body_bytes
        if size > most:
            raise LimitExceeded("max_body_bytes", got=size, allowed=most)
        return wire.decode_request(parts)

    def _pass_on(self, client: bytes, asked: FrameRequest, parts: Sequence[memoryview]) -> None:
        """Give a frame to the replica of its stream; to another one if that is found to be gone.

        Raises:
            Leaving, Unavailable, Overloaded: see :meth:`quadfollow_server.scale.spread.Spread.send`.
        """
        lane = (client, asked.stream)
        while True:
            replica = self._spread.send(lane, asked.id, time.monotonic())
            try:
                return self._tell(replica, client, parts)
            except zmq.Again as error:
                self._spread.settle(lane, asked.id)
                limit = self._back.sndhwm
                raise Overloaded("this stream's replica lags", limit="max_unsent", allowed=limit) from error
            except zmq.ZMQError:
                self._spread.settle(lane, asked.id)
                self._lose(replica, CLOSED)

    def _tell(self, replica: bytes, client: bytes, parts: Sequence[Bytes]) -> None:
        self._readers[1].soon()
        self._back.send_multipart([replica, client, *parts], zmq.NOBLOCK)

    def _from_replica(self, replica: bytes, parts: list[memoryview]) -> None:
        try:
            client, *reply = (bytes(part) for part in parts)
            body = wire.decode_header(reply, most=None)
        except (ValueError, QuadfollowError) as error:
            return log.warning("a message at the replicas' door is none: %s", error)
        if self._spread.hear(replica, time.monotonic()):
            log.info("replica %s came", _shown(replica))
        if not client and body.get("type") == "bye":
            log.info("replica %s leaves", _shown(replica))
            self._spread.leave(replica)
        elif self._spread.settle((client, str(body.get("stream"))), body.get("id")):
            self._send(client, reply)
        return None

    def _reply(self, client: bytes, body: dict[str, Any]) -> None:
        self._send(client, wire.encode_reply(Result(body)))

    def _send(self, client: bytes, parts: Sequence[bytes]) -> None:
        try:
            self._front.send_multipart([client, *parts], zmq.NOBLOCK)
        except zmq.ZMQError:
            log.debug("a client did not take its reply")
        self._readers[0].soon()

    def _refuse(self, flight: Flight, error: QuadfollowError) -> None:
        client, stream = flight.lane
        self._reply(client, error_body(error, flight.id, stream))

    def _lose(self, replica: bytes, why: str) -> None:
        lost = self._spread.lose(replica)
        log.warning("replica %s is gone (%s) with %d frames", _shown(replica), why, len(lost))
        for flight in lost:
            self._refuse(flight, Unavailable(GONE))

    async def _look(self) -> None:
        """See again and again who is still there: a ping to a closed connection fails at once."""
        while True:
            await asyncio.sleep(TICK)
            now = time.monotonic()
            for flight in self._spread.expire(now):
                self._refuse(flight, Unavailable(LATE))
            for replica in self._spread.silent(now - SILENCE):
                self._lose(replica, "it fell silent")
            for replica in self._spread.replicas:
                self._ping(replica)

    def _ping(self, replica: bytes) -> None:
        try:
            self._tell(replica, b"", wire.encode_ping())
        except zmq.Again:
            pass  # it has enough to read
        except zmq.ZMQError:
            self._lose(replica, CLOSED)

    def _publish(self, topic: bytes, parts: list[memoryview]) -> None:
        self._pub.send_multipart([topic, *parts], zmq.NOBLOCK)
        self._readers[3].soon()

    def _subscribe(self, change: bytes, _: list[memoryview]) -> None:
        self._results.send(change, zmq.NOBLOCK)
        self._readers[2].soon()


def _shown(replica: bytes) -> str:
    return replica.decode(errors="replace")
