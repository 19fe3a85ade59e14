"""The server's three ports, taken before any model loads, so that a taken port is known at once."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import zmq

from quadfollow_core.errors import Unavailable
from quadfollow_server.keys import Clients
from quadfollow_server.settings import Settings
from quadfollow_server.zmq_gate import ZmqGate

BACKLOG = 2048
TAKEN = "{what} cannot listen on {host} port {port}: {reason}; end what uses it or choose another with {option}"


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports really in use."""

    http: int
    zmq: int
    pub: int


@dataclass(frozen=True, slots=True)
class ZmqSockets:
    """The bound sockets of ZeroMQ's two doors, and who may connect to them."""

    address: str
    """The IP address they listen on."""
    context: zmq.Context[zmq.Socket[bytes]]
    router: zmq.Socket[bytes]
    pub: zmq.Socket[bytes]
    gate: ZmqGate


@dataclass(frozen=True, slots=True)
class Sockets:
    """All bound sockets, which listen on one IP address, not yet served."""

    http: socket.socket
    zeromq: ZmqSockets
    ports: Ports


@contextmanager
def bound(settings: Settings, clients: Clients | None = None) -> Iterator[Sockets]:
    """Bind HTTP, ROUTER and PUB for as long as the block runs; closes what is still open.

    With ``clients`` it needs a running event loop, on which ROUTER and PUB ask who connects.

    Raises:
        BadInput: other machines could reach the server and it asks for no keys.
        Unavailable: a port is taken or the host is not this machine's; names the port and the option to change it.
    """
    with bound_zmq(settings, clients) as zeromq, _listen_to_http(zeromq.address, settings.port) as http:
        yield Sockets(http, zeromq, Ports(http.getsockname()[1], port_of(zeromq.router), port_of(zeromq.pub)))


@contextmanager
def bound_zmq(settings: Settings, clients: Clients | None = None) -> Iterator[ZmqSockets]:
    """Bind ROUTER and PUB alone; see :func:`bound`.

    Raises:
        BadInput, Unavailable: see :func:`bound`.
    """
    address = resolve(settings.host)
    settings.access.require_private(address)
    with ExitStack() as stack:
        context = stack.enter_context(zmq.Context())
        gate = ZmqGate(context, clients)
        gate.start()
        stack.callback(gate.stop)
        router = stack.enter_context(context.socket(zmq.ROUTER))
        limit_router(router, settings)
        gate.guard(router)
        pub = stack.enter_context(context.socket(zmq.XPUB))  # a PUB that tells what is subscribed to
        limit_pub(pub)
        gate.guard(pub)
        bind(router, "ZeroMQ", address, settings.zmq_port, "--zmq-port")
        bind(pub, "ZeroMQ PUB", address, settings.pub_port, "--pub-port")
        yield ZmqSockets(address, context, router, pub, gate)


def limit_router(router: zmq.Socket[bytes], settings: Settings) -> None:
    """Bound what any one client can make the ROUTER hold, and notice those that are gone."""
    router.linger = 0
    router.router_mandatory = True  # a reply that cannot be delivered raises instead of vanishing
    router.router_handover = True  # a client that reconnects under its old name replaces its dead connection
    router.rcvhwm = 32  # more than that stays with its sender
    router.sndhwm = 512  # replies kept for a client that does not read
    # Twice the limit: what is a little too large is refused with a reason, what is far too large cuts the connection.
    router.maxmsgsize = 2 * settings.max_body_bytes
    router.tcp_keepalive, router.tcp_keepalive_idle = 1, 30
    router.tcp_keepalive_intvl, router.tcp_keepalive_cnt = 10, 3


def limit_pub(pub: zmq.Socket[bytes]) -> None:
    """Bound what any one subscriber can make the PUB socket hold."""
    pub.linger = 0
    pub.sndhwm = 64
    pub.rcvhwm = 16
    pub.maxmsgsize = 4096  # subscriptions


def resolve(host: str) -> str:
    """The IP address that a host stands for.

    Raises:
        Unavailable: it stands for none.
    """
    try:
        return str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0])
    except (OSError, UnicodeError) as error:
        raise Unavailable(f"--host {host!r} is no address of this machine: {error}") from error


def listen(address: str, port: int) -> socket.socket:
    """Listen on a TCP port of an IP address, 0 for any free one.

    Raises:
        OSError: the port is taken, or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    # "::" means every address, IPv4's too, as it does to ZeroMQ.
    both = address == "::" and socket.has_dualstack_ipv6()
    return socket.create_server((address, port), family=family, backlog=BACKLOG, dualstack_ipv6=both)


def _listen_to_http(address: str, port: int) -> socket.socket:
    try:
        return listen(address, port)
    except OSError as error:
        raise _taken("HTTP", address, port, error.strerror, "--port") from error


def bracketed(host: str) -> str:
    """A host as it stands in an address with a port: IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host


def bind(endpoint: zmq.Socket[bytes], what: str, host: str, port: int, option: str) -> None:
    """Bind a socket, port 0 for any free one.

    Raises:
        Unavailable: the port is taken.
    """
    endpoint.ipv6 = ":" in host
    try:
        endpoint.bind(f"tcp://{bracketed(host)}:{port or '*'}")
    except zmq.ZMQError as error:
        raise _taken(what, host, port, error.strerror, option) from error


def port_of(endpoint: zmq.Socket[bytes]) -> int:
    """The port that a socket is bound to."""
    return int(endpoint.getsockopt_string(zmq.LAST_ENDPOINT).rsplit(":", 1)[1])


def _taken(what: str, host: str, port: int, reason: str | None, option: str) -> Unavailable:
    return Unavailable(TAKEN.format(what=what, host=host, port=port, reason=reason, option=option))
