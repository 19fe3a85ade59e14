"""Who gives orders to a flight under way."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

import zmq

from quadfollow_core.errors import BadInput, ServerGone, Unavailable
from quadfollow_core.wire import is_ipv6
from quadfollow_sim.orders.wire import ADDRESS, LARGEST, LATE, Question, decode_reply, encode_question, require_private
from quadfollow_sim.safety import Order

PATIENCE = 10.0
"""Seconds to wait for an answer: a flight in lockstep looks at its orders between two pictures."""


class OrdersClient:
    """A connection to a flight's door. Use it from one thread, as a context manager.

    Args:
        address: the door's.
        patience: seconds to wait for an answer.

    Raises:
        BadInput: it is no such address.
    """

    def __init__(self, address: str = ADDRESS, patience: float = PATIENCE) -> None:
        self._address = require_private(address)
        self._patience = patience
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.REQ)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.IPV6, is_ipv6(address))
        self._socket.setsockopt(zmq.MAXMSGSIZE, 16 * LARGEST)
        # An answer that came too late for its question is passed over, not taken for the next one's.
        self._socket.setsockopt(zmq.REQ_RELAXED, 1)
        self._socket.setsockopt(zmq.REQ_CORRELATE, 1)
        try:
            self._socket.connect(address)
        except zmq.ZMQError as error:
            self.close()
            raise BadInput(f"{address!r} is not where a flight takes orders: {error}") from error

    def status(self) -> dict[str, Any]:
        """How the pilot stands.

        Raises:
            ServerGone: no flight answers.
        """
        return self._ask(Question())

    def order(self, order: Order) -> dict[str, Any]:
        """Give an order and return the reply: ``obeyed`` says whether it led to what it asks for.

        What may set the vehicle in motion is sent only once the flight has answered, so that nothing flies by an order
        whose giver was told that nobody was there. What came before the flight began is ordered again.

        Raises:
            ServerGone: no flight answers.
            Unavailable: no flight began in time.
        """
        if order in LATE:
            self.status()
        end = time.monotonic() + self._patience
        while True:
            try:
                return self._ask(Question(order))
            except Unavailable:
                if time.monotonic() >= end:
                    raise

    def _ask(self, question: Question) -> dict[str, Any]:
        self._socket.send_multipart(encode_question(question))
        if not self._socket.poll(round(1000 * self._patience)):
            raise ServerGone(
                f"no flight takes orders at {self._address}: start one with quadfollow fly --world city, "
                "name its address with --orders, or give it time to begin with --patience"
            )
        reply = decode_reply(self._socket.recv_multipart())
        if reply["type"] == "error":
            kind = Unavailable if reply.get("code") == Unavailable.code else BadInput
            raise kind(str(reply.get("detail")))
        return reply

    def close(self) -> None:
        """Hang up; what was not sent is not sent any more."""
        self._context.destroy(linger=0)

    def __enter__(self) -> OrdersClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
