"""The gate before the ZeroMQ doors: connections prove by CurveZMQ that they hold the secret key of a known client.

Without keys it does nothing. A connection with a wrong key, or with none, gets no answer at all.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress

import zmq
from zmq.auth.asyncio import AsyncioAuthenticator

from quadfollow_server.keys import Clients
from quadfollow_server.metrics import Metrics

log = logging.getLogger(__name__)

DOMAIN = "quadfollow"
LOOK_SECONDS = 0.5
"""Longest time until a revoked key ends the connections made with it."""


class ZmqGate:
    """Answers libzmq's questions (ZAP, ZeroMQ RFC 27) who may connect; start it before the sockets are bound.

    Args:
        context: the context of the sockets that it guards.
        clients: who may come in; None to ask nobody.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], clients: Clients | None) -> None:
        self._context = context
        self._clients = clients
        self.metrics: Metrics | None = None
        """Told of each refusal, once it is there."""

    def callback(self, _: str, public_key: bytes) -> bool:
        """Decide about one connection (called by pyzmq)."""
        name = None if self._clients is None else self._clients.name_of_public_key(public_key.decode("ascii"))
        if name is None and self.metrics is not None:
            self.metrics.refuse("zmq", "key")
        return name is not None

    def start(self) -> None:
        """Begin to answer; call it on the event loop."""
        if self._clients is None:
            return
        self._authenticator = AsyncioAuthenticator(self._context)
        self._authenticator.configure_curve_callback(DOMAIN, self)
        self._authenticator.start()

    def stop(self) -> None:
        """Answer no more."""
        if self._clients is not None:
            self._authenticator.stop()

    def guard(self, socket: zmq.Socket[bytes]) -> None:
        """Make a socket that is not yet bound ask for keys."""
        if self._clients is None:
            return
        socket.curve_server = True
        socket.curve_secretkey = self._clients.server.secret_key.encode()
        socket.zap_domain = DOMAIN.encode()
        socket.zap_enforce_domain = True  # nobody comes in while nobody answers

    async def watch(self, sockets: Sequence[zmq.Socket[bytes]]) -> None:
        """End all connections whenever a key was revoked: those of the others come back by themselves at once.

        libzmq asks for a key when a connection begins, and never again.
        """
        if self._clients is None:
            return
        known = {client.public_key for client in self._clients.all}
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            now = {client.public_key for client in self._clients.all}
            if known - now:
                log.info("a key was revoked: all ZeroMQ clients have to show theirs again")
                for socket in sockets:
                    await _bind_again(socket)
            known = now


async def _bind_again(socket: zmq.Socket[bytes]) -> None:
    """Hang up on everybody and listen on."""
    endpoint = socket.getsockopt_string(zmq.LAST_ENDPOINT)
    with suppress(zmq.ZMQError):
        socket.unbind(endpoint)
    while not socket.closed:
        try:
            socket.bind(endpoint)
            return
        except zmq.ZMQError:  # libzmq closes the old listener in its own time
            await asyncio.sleep(0.01)
