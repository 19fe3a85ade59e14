"""Engine.IO and Socket.IO packets as text: the few that QuadSim and present-day clients exchange with us.

QuadSim asks for Engine.IO 4 in its address but speaks Engine.IO 3 / Socket.IO 2: it sends pings (``2``) and waits
for pongs (``3``), and never a connect packet. A present-day client (Engine.IO 4 / Socket.IO 5) sends ``40`` first,
waits for ``40{"sid": …}``, and answers the server's pings. No binary attachments, no long polling.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from quadfollow_core.errors import BadMessage


class Kind(StrEnum):
    """The first characters of a packet; ``CONNECT`` alone is the server's greeting to Socket.IO 2."""

    CLOSE = "1"
    PING = "2"
    PONG = "3"
    CONNECT = "40"
    DISCONNECT = "41"
    EVENT = "42"
    UPGRADE = "5"
    NOOP = "6"


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet, its JSON not yet read."""

    kind: Kind
    namespace: str = "/"
    ack: str = ""
    """The number under which the sender wants an acknowledgement; empty where it wants none."""
    event: str = ""
    """An event's name."""
    body: str = ""
    """JSON text: of an event the array ``[name, argument…]``, of a connect packet its credentials."""

    def argument(self) -> Any:
        """Read an event's first argument, None where it has none.

        Raises:
            BadMessage: the body is not a JSON array.
        """
        try:
            values = json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise BadMessage(f"the event {self.event!r} is not JSON: {error}") from error
        if not isinstance(values, list):
            raise BadMessage(f"the event {self.event!r} must be a JSON array, got {type(values).__name__}")
        return values[1] if len(values) > 1 else None


_SOCKET_IO = re.compile(r"(?P<kind>4[012])(?:(?P<namespace>/[^,]*),?)?(?P<ack>\d{0,18})(?P<body>.*)", re.DOTALL)
_EVENT_NAME = re.compile(r'\s*\[\s*"([^"\\]{1,128})"')


def parse_packet(text: str) -> Packet:
    """Read a packet's frame without reading its JSON, so that a large event costs next to nothing here.

    Raises:
        BadMessage: not a packet that a client sends.
    """
    if text[:1] == "4":
        return _parse_message(text)
    if text[:1] not in ("1", "2", "3", "5", "6"):
        raise BadMessage(f"not an Engine.IO packet: {text[:40]!r}")
    return Packet(Kind(text[:1]), body=text[1:])


def _parse_message(text: str) -> Packet:
    match = _SOCKET_IO.fullmatch(text)
    if match is None:
        raise BadMessage(f"not a Socket.IO packet that is served here: {text[:40]!r}")
    packet = Packet(Kind(match["kind"]), match["namespace"] or "/", match["ack"], "", match["body"])
    if packet.kind is not Kind.EVENT:
        return packet
    name = _EVENT_NAME.match(packet.body)
    if name is None:
        raise BadMessage(f"an event without a name: {text[:40]!r}")
    return Packet(packet.kind, packet.namespace, packet.ack, name[1], packet.body)


def open_packet(session: str, ping_interval: float, ping_timeout: float) -> str:
    """Write the server's first packet: session id, times in seconds."""
    times = {"pingInterval": round(1000 * ping_interval), "pingTimeout": round(1000 * ping_timeout)}
    return "0" + _dump({"sid": session, "upgrades": [], **times})


def connect_packet(session: str) -> str:
    """Write the answer to a present-day client's ``40``."""
    return Kind.CONNECT + _dump({"sid": session})


def refuse_namespace(namespace: str) -> str:
    """Write the answer to a client that asks for a namespace other than ``/``."""
    return f"44{namespace}," + _dump({"message": "Invalid namespace"})


def event_packet(name: str, data: Any) -> str:
    """Write an event with one argument.

    Raises:
        BadMessage: a number that is not finite.
    """
    return Kind.EVENT + _dump([name, data])


def ack_packet(number: str) -> str:
    """Write the empty acknowledgement of an event."""
    return f"43{number}[]"


def _dump(value: Any) -> str:
    try:
        return json.dumps(value, separators=(",", ":"), allow_nan=False)
    except ValueError as error:
        raise BadMessage(f"an event holds finite numbers only: {error}") from error
