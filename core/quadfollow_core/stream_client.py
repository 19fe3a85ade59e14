"""Stream frames to a quadfollow server over ZeroMQ, always the newest one.

The client keeps a count of credits, its own requests allowed in flight. It holds only its newest frame and sends it
when it has a credit, so a slow server sees fewer frames and never old ones. Every offered frame meets exactly one
fate, reported by :meth:`StreamClient.poll`: an answer, or a reason why there is none.
"""

from __future__ import annotations

import itertools
import time
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal

import numpy as np
import zmq
from numpy.typing import NDArray

from quadfollow_core import wire
from quadfollow_core.client_key import ClientKey
from quadfollow_core.codec import as_file, sniff
from quadfollow_core.errors import BadInput, BadMessage
from quadfollow_core.request import Bytes, Result
from quadfollow_core.track import Track
from quadfollow_core.types import Sighting

Outcome = Literal["result", "dropped", "error", "unsent", "lost"]
BACKOFF = (0.1, 2.0)
"""Seconds until the next attempt after a time-out: the first, and the most it doubles up to."""


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of one offered frame.

    ``outcome`` is ``result``; ``dropped`` (by the server, ``body["reason"]`` says why) or ``error`` (``body`` has
    ``code`` and ``detail``); ``unsent`` when a newer frame replaced it here; ``lost`` when no answer came in time.
    """

    id: int
    outcome: Outcome
    age: float
    """Seconds from capture to now, both by this client's clock."""
    body: dict[str, Any] = field(default_factory=dict)
    mask_png: bytes | None = field(default=None, repr=False)

    @property
    def sighting(self) -> Sighting | None:
        """What was located; None where the outcome is not ``result``.

        Raises:
            BadInput: the result holds no sighting.
        """
        return Sighting.from_dict(self.body) if self.outcome == "result" else None

    @property
    def track(self) -> Track | None:
        """The stream's track as of this frame; None unless the request wanted ``track``.

        Raises:
            BadInput: the result's track is none.
        """
        track = self.body.get("track")
        return None if track is None else Track.from_dict(track)


@dataclass(slots=True)
class _Pending:
    id: int
    captured: float
    parts: list[Bytes]
    resets: bool = False
    """Whether it asks to forget the stream's target, for itself or for a frame whose place it took."""
    sent: float = 0.0


class StreamClient:
    """One stream of frames to one server; use it as a context manager, from one thread.

    Args:
        address: the server's ROUTER, ``tcp://HOST:5555``.
        stream: the stream's name; a track belongs to (client, stream).
        credit: requests in flight at most: 1, or 2 when the round trip is as long as the service time.
        timeout: seconds until an unanswered request counts as lost; then the client reconnects with back-off.
        key: what a server that asks for keys knows this client by. Without it, such a server answers nothing at all.

    Raises:
        BadInput: ``address`` is not a ZeroMQ address, or credit or time-out are none.
    """

    def __init__(
        self,
        address: str = "tcp://127.0.0.1:5555",
        *,
        stream: str = "",
        credit: int = 1,
        timeout: float = 1.0,
        key: ClientKey | None = None,
    ) -> None:
        if credit < 1 or not timeout > 0:
            raise BadInput(f"credit is 1 or more and timeout above 0 seconds, got {credit} and {timeout}")
        self.address = address
        self.stream = stream
        self.strays = 0
        """Messages that are no reply to a frame in flight, which a server that keeps to the wire never sends."""
        self._credit = credit
        self._timeout = timeout
        self._key = key
        self._ids = itertools.count(1)
        self._newest: _Pending | None = None
        self._in_flight: dict[int, _Pending] = {}
        self._fates: list[Fate] = []
        self._wait = BACKOFF[0]
        self._not_before = 0.0
        self._context = zmq.Context()
        try:
            self._socket = self._connect()
        except zmq.ZMQError as error:
            self._context.destroy(0)
            raise BadInput(f"{address!r} is not a ZeroMQ address such as tcp://127.0.0.1:5555: {error}") from error

    def __enter__(self) -> StreamClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; frames in flight are given up."""
        self._socket.close(0)
        self._context.term()

    @property
    def idle(self) -> bool:
        """Whether no frame waits and none is in flight."""
        return self._newest is None and not self._in_flight

    def offer(
        self,
        image: NDArray[np.uint8] | bytes,
        *,
        captured: float | None = None,
        depth: bytes | None = None,
        depth_header: dict[str, Any] | None = None,
        **header: Any,
    ) -> int:
        """Offer the newest frame; it goes out at once if there is a credit, else it waits for one.

        Args:
            image: ``(H, W, 3)`` uint8 RGB, sent as JPEG of quality 90, or the bytes of a JPEG, PNG or WebP file.
            captured: ``time.monotonic()`` at capture; now if None.
            depth: bytes of a depth picture, described by ``depth_header``.
            depth_header: ``{"encoding": …, "scale": …}`` as in the wire's ``depth`` object.
            header: further keys of the wire's header, such as ``camera``, ``want``, ``model``, ``deadline_ms``;
                ``captured_at`` where the track is to run by another clock than this machine's.

        Returns:
            The frame's id, which its :class:`Fate` repeats.

        Raises:
            BadImage, BadInput: the image is neither pixels nor a picture's file.
            BadMessage: the header holds what JSON cannot.
            LimitExceeded: it is longer than a server reads. In each case the frame is not taken, and one that waits
                goes on waiting.
        """
        captured = time.monotonic() if captured is None else captured
        data = as_file(image)
        number = next(self._ids)
        wall_clock = time.time() - (time.monotonic() - captured)
        fields = {"captured_at": wall_clock, "encoding": sniff(data)} | header
        fields |= {"id": number, "stream": self.stream}
        if depth_header is not None:
            fields["depth"] = depth_header
        replaced = self._newest
        if replaced is not None and replaced.resets:
            fields["reset_track"] = True
        resets = bool(fields.get("reset_track"))
        self._newest = _Pending(number, captured, wire.encode_request(fields, data, depth), resets)
        if replaced is not None:
            self._settle(replaced, "unsent")
        self._pump()
        return number

    def poll(self, timeout: float = 0.0) -> list[Fate]:
        """Return the fates that are known, waiting at most ``timeout`` seconds for the first one."""
        end = time.monotonic() + timeout
        self._receive(0)
        while not self._fates and (left := end - time.monotonic()) > 0:
            self._receive(max(1, int(1000 * min(left, 0.05))))
        fates, self._fates = self._fates, []
        return fates

    def ping(self, timeout: float = 1.0) -> bool:
        """Ask whether a server answers, on a connection of its own; tells *server gone* from *nothing seen*."""
        with self._connect() as socket:
            socket.send_multipart(wire.encode_ping())
            if not socket.poll(int(timeout * 1000)):
                return False
            with suppress(BadMessage):
                return bool(wire.decode_reply(socket.recv_multipart()).body["type"] == "pong")
            return False

    def _connect(self) -> zmq.Socket[bytes]:
        socket = self._context.socket(zmq.DEALER)
        socket.linger, socket.ipv6 = 0, wire.is_ipv6(self.address)
        socket.sndhwm = socket.rcvhwm = 2 * self._credit + 2
        if self._key is not None:
            self._key.apply(socket)
        socket.connect(self.address)
        return socket

    def _receive(self, milliseconds: int) -> None:
        """Take the replies that are there, waiting so long for the first one."""
        self._socket.rcvtimeo = milliseconds
        with suppress(zmq.Again):
            self._accept(self._socket.recv_multipart())
            while self._in_flight:  # else nothing is to come, and looking takes its time
                self._socket.rcvtimeo = 0
                self._accept(self._socket.recv_multipart())
        self._expire()
        self._pump()

    def _accept(self, parts: list[bytes]) -> None:
        try:
            reply, pending = self._matched(parts)
        except (BadMessage, KeyError, TypeError):  # TypeError: an id that is a list or an object
            self.strays += 1
            return
        self._wait = BACKOFF[0]
        if reply.body.get("code") in ("overloaded", "unavailable"):
            self._not_before = time.monotonic() + BACKOFF[0]
        self._settle(pending, reply.body["type"], reply)

    def _matched(self, parts: list[bytes]) -> tuple[Result, _Pending]:
        """Read a reply and take the frame that it settles out of those in flight."""
        reply = wire.decode_reply(parts)
        if reply.body["type"] == "pong":
            raise BadMessage("a pong answers no frame")
        return reply, self._in_flight.pop(reply.body["id"])

    def _expire(self) -> None:
        now = time.monotonic()
        if all(now - pending.sent < self._timeout for pending in self._in_flight.values()):
            return
        # A late answer must not be taken for a new frame's, so the connection is made anew.
        for pending in self._in_flight.values():
            self._settle(pending, "lost")
        self._in_flight.clear()
        self._socket.close(0)
        self._socket = self._connect()
        self._not_before = now + self._wait
        self._wait = min(2 * self._wait, BACKOFF[1])

    def _pump(self) -> None:
        now = time.monotonic()
        if self._newest is None or len(self._in_flight) >= self._credit or now < self._not_before:
            return
        pending, self._newest = self._newest, None
        pending.sent = now
        self._in_flight[pending.id] = pending
        with suppress(zmq.Again):  # a server that refused our key left nobody to send to: the time-out tells
            self._socket.send_multipart(pending.parts, zmq.NOBLOCK)

    def _settle(self, pending: _Pending, outcome: Outcome, reply: Result | None = None) -> None:
        age = time.monotonic() - pending.captured
        body, mask = ({}, None) if reply is None else (reply.body, reply.mask_png)
        self._fates.append(Fate(pending.id, outcome, age, body, mask))
