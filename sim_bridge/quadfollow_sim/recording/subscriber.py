"""Records what a server publishes: its streams' pictures with their results."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import zmq

from quadfollow_core import wire
from quadfollow_core.client_key import ClientKey
from quadfollow_core.errors import BadInput, BadMessage
from quadfollow_sim.recording.moment import moment_of_publication
from quadfollow_sim.recording.tape import Tape

WAITING = 64
"""Publications that may wait here; the server passes over what is beyond."""
PATIENCE = 0.2
"""Seconds between two looks at whether to stop."""
SILENCE = 5.0
"""Seconds without a picture after which that is said."""
UNNAMED = "(without a name)"
"""How the stream without a name is told of."""


@dataclass(slots=True)
class Heard:
    """What was recorded."""

    pictures: int = 0
    """Publications written, those whose picture was too large to be published among them."""
    malformed: int = 0
    """Messages that were no publications."""
    streams: set[str] = field(default_factory=set)


def record_publications(
    address: str,
    tape: Tape,
    *,
    stream: str | None = None,
    key: ClientKey | None = None,
    seconds: float | None = None,
    stop: Callable[[], bool] = lambda: False,
    tell: Callable[[str], None] = lambda text: None,
) -> Heard:
    """Record until ``seconds`` are over or ``stop`` says so; a server that is not there is waited for.

    Args:
        address: the server's PUB socket, ``tcp://HOST:5556``.
        tape: where to.
        stream: the one stream to record; None for all.
        key: what a server that asks for keys knows this client by.
        seconds: how long, by the real clock; None for as long as it takes.
        stop: asked between two pictures.
        tell: hears what happens, in words.

    Raises:
        BadInput: ``address`` is no ZeroMQ address.
        Unavailable: the disk is full.
    """
    heard = Heard()
    watch = _Watch(address, tape, tell)
    end = None if seconds is None else time.monotonic() + seconds
    with zmq.Context() as context, context.socket(zmq.SUB) as socket:
        _subscribe(socket, address, stream, key)
        while not stop() and (end is None or time.monotonic() < end):
            if socket.poll(int(1000 * PATIENCE)):
                _hear(socket.recv_multipart(), tape, heard, watch)
            tape.tick()
            watch.look()
    return heard


def _subscribe(socket: zmq.Socket[bytes], address: str, stream: str | None, key: ClientKey | None) -> None:
    socket.linger, socket.ipv6 = 0, wire.is_ipv6(address)
    socket.rcvhwm = WAITING
    socket.subscribe(wire.PICTURES if stream is None else wire.picture_topic(stream))
    if key is not None:
        key.apply(socket)
    try:
        socket.connect(address)
    except zmq.ZMQError as error:
        raise BadInput(f"{address!r} is not the address of a server's PUB socket: {error}") from error


def _hear(parts: list[bytes], tape: Tape, heard: Heard, watch: _Watch) -> None:
    try:
        stream, body, image = wire.decode_picture(parts)
        tape.write(moment_of_publication(stream, body, image, time.time()))
    except BadMessage as error:
        heard.malformed += 1
        if heard.malformed == 1:
            watch.warn(f"a message that is no publication was passed over: {error}")
        return
    watch.heard()
    heard.pictures += 1
    if stream not in heard.streams:
        heard.streams.add(stream)
        watch.say(f"recording stream {stream or UNNAMED}")


class _Watch:
    """Says, once each time, when nothing comes any more."""

    def __init__(self, address: str, tape: Tape, tell: Callable[[str], None]) -> None:
        self._address = address
        self._tape = tape
        self._tell = tell
        self._last = time.monotonic()
        self._silent = False

    def heard(self) -> None:
        self._last = time.monotonic()
        if self._silent:
            self._silent = False
            self.say("pictures come again")

    def look(self) -> None:
        if not self._silent and time.monotonic() - self._last > SILENCE:
            self._silent = True
            self.warn(
                f"no picture from {self._address} for {SILENCE:.0f} s, still waiting: is this the server's PUB port "
                "(5556 by default), does anybody send frames, and does it ask for keys (QUADFOLLOW_KEY_FILE)?"
            )

    def say(self, text: str) -> None:
        self._tape.log(time.time(), "info", text)
        self._tell(text)

    def warn(self, text: str) -> None:
        self._tape.log(time.time(), "warning", text)
        self._tell(text)
