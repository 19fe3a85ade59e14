"""MAVLink 2 over UDP: one socket, one peer, no waiting.

A link that listens takes the first sender that its owner accepts as the peer, and from then on hears nobody else.
"""

from __future__ import annotations

import importlib
import re
import socket
from functools import cache
from typing import Any

from quadfollow_core.errors import BadInput, Unavailable

Address = tuple[str, int]
_FORM = re.compile(r"udp(?P<way>in|out)?://(?P<host>[^:/]*):(?P<port>\d{1,5})/?")
_MOST = 200
"""Datagrams taken in at once; the system's buffer drops what is more."""


@cache
def load_messages() -> Any:
    """MAVLink's common messages as the module that pymavlink generated.

    Raises:
        Unavailable: pymavlink is not installed.
    """
    try:
        return importlib.import_module("pymavlink.dialects.v20.common")
    except ModuleNotFoundError as error:
        raise Unavailable('MAVLink needs pymavlink: pip install "quadfollow[mavlink]"') from error


def parse_address(address: str) -> tuple[Address, bool]:
    """Host and port of an address, and whether to listen there; ``udp://:14540`` listens, with a host it sends.

    Raises:
        BadInput: it is not of that form.
    """
    match = _FORM.fullmatch(address)
    if match is None or not 0 <= int(match["port"]) <= 65535:
        raise BadInput(
            f"a MAVLink address is udp://:PORT to listen or udp://HOST:PORT to send, got {address!r}; "
            "serial ports and TCP go through mavlink-router"
        )
    listens = match["way"] == "in" or (match["way"] is None and match["host"] in ("", "0.0.0.0"))
    return (match["host"] or "0.0.0.0", int(match["port"])), listens


class Link:
    """One end of a MAVLink connection. Use it from one thread.

    Args:
        address: see :func:`parse_address`; port 0 listens at a free one.
        system: this end's MAVLink system; it may be changed later.
        component: and its component.

    Raises:
        Unavailable: pymavlink is missing, the port is taken, or the host is not known.
        BadInput: the address makes no sense.
    """

    def __init__(self, address: str, system: int, component: int) -> None:
        place, listens = parse_address(address)
        self.messages = load_messages()
        self.peer: Address | None = None
        """Whom this end talks to; None while it listens for anybody."""
        self._mav = self.messages.MAVLink(None, srcSystem=system, srcComponent=component)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        try:
            self._socket.bind(place if listens else ("0.0.0.0", 0))
            self.peer = None if listens else (socket.gethostbyname(place[0]), place[1])
        except OSError as error:
            self._socket.close()
            raise Unavailable(f"cannot open {address}: {error}") from error

    @property
    def port(self) -> int:
        """The local port."""
        return int(self._socket.getsockname()[1])

    @property
    def system(self) -> int:
        """This end's MAVLink system."""
        return int(self._mav.srcSystem)

    @system.setter
    def system(self, system: int) -> None:
        self._mav.srcSystem = system

    @property
    def component(self) -> int:
        """This end's MAVLink component."""
        return int(self._mav.srcComponent)

    def send(self, message: Any) -> None:
        """Send a message to the peer; without one, or when nobody can take it, it is gone."""
        packed = message.pack(self._mav)
        if self.peer is None:
            return
        self._mav.seq = (self._mav.seq + 1) % 256
        try:
            self._socket.sendto(packed, self.peer)
        except OSError:
            return

    def receive(self) -> list[tuple[Any, Address]]:
        """All messages that have come, oldest first, each with its sender; what is not MAVLink is passed over."""
        heard: list[tuple[Any, Address]] = []
        for _ in range(_MOST):
            try:
                data, sender = self._socket.recvfrom(65535)
            except BlockingIOError:
                break
            except OSError:  # the peer's port is closed: an earlier datagram came back
                continue
            if self.peer is None or sender == self.peer:
                heard += [(message, sender) for message in self._parse(data)]
        return heard

    def _parse(self, data: bytes) -> list[Any]:
        parser = self.messages.MAVLink(None)  # a datagram holds whole messages: nothing of it may reach the next one
        parser.robust_parsing = True
        return [message for message in parser.parse_buffer(data) or [] if message.get_type() != "BAD_DATA"]

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
