"""Where a flight takes orders: a small REP socket that the flight's own loop looks at.

There is no thread: an answer comes from the loop that commands the vehicle, after the command that obeys the order, so
it also proves that the loop is alive. A vehicle that nobody can stop because its loop hangs does not say it stopped.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from types import TracebackType
from typing import Any, Protocol

import zmq

from quadfollow_core.errors import QuadfollowError, Unavailable
from quadfollow_core.wire import is_ipv6
from quadfollow_sim.orders.wire import ADDRESS, LARGEST, LATE, Question, decode_question, encode, require_private
from quadfollow_sim.safety import GOALS, Mode, Order

MOST = 16
"""Questions answered in one look, so that whoever floods the door does not hold up the flight."""
WAITING = 16
"""Questions and replies that wait per client at most; what is more waits at the sender."""
IPC = "ipc://"
LINGER = 500
"""Milliseconds for which the last replies may still go out when the door closes."""


class Ordered(Protocol):
    """Who obeys."""

    def order(self, order: Order) -> Mode:
        """Obey an order, command by it, and return the mode it led to."""

    def status(self) -> dict[str, Any]:
        """How it stands, ready for JSON; ``mode`` is in it."""


class OrdersDoor:
    """An open door for orders. Use it from one thread, as a context manager.

    Args:
        address: one that this machine alone reaches; ``tcp://127.0.0.1:*`` takes a free port.

    Raises:
        BadInput: other machines reach the address, or it is none.
        Unavailable: somebody else is there already.
    """

    def __init__(self, address: str = ADDRESS) -> None:
        require_private(address)
        if _is_taken(address):
            raise _taken(address, "somebody listens there")
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.REP)
        for option, value in (
            (zmq.MAXMSGSIZE, LARGEST),
            (zmq.RCVHWM, WAITING),
            (zmq.SNDHWM, WAITING),
            (zmq.LINGER, LINGER),
            (zmq.IPV6, is_ipv6(address)),
        ):
            self._socket.setsockopt(option, value)
        try:
            self._socket.bind(address)
        except zmq.ZMQError as error:
            self.close()
            raise _taken(address, str(error.strerror)) from error

    @property
    def address(self) -> str:
        """Where it is, with the port it got."""
        endpoint: bytes = self._socket.getsockopt(zmq.LAST_ENDPOINT)  # type: ignore[assignment]
        return endpoint.decode().rstrip("\0")

    def attend(self, craft: Ordered, timeout: float = 0.0, *, late: bool = False) -> None:
        """Answer what has been asked, waiting at most ``timeout`` seconds for the first question.

        ``late``: what has come was asked before anybody looked; see :data:`quadfollow_sim.orders.wire.LATE`.
        """
        wait = round(1000 * timeout)
        for _ in range(MOST):
            if not self._socket.poll(wait):
                return
            wait = 0
            try:
                parts = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:  # it was none that a REQ sends, and is gone
                continue
            self._socket.send_multipart(encode(_answer(parts, craft, late=late)))

    def close(self) -> None:
        """Close it; the last replies go out first."""
        self._socket.close()
        self._context.term()

    def __enter__(self) -> OrdersDoor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _is_taken(address: str) -> bool:
    """Whether somebody listens at a socket file, which ZeroMQ would take from them without a word."""
    if not address.startswith(IPC) or address.startswith(f"{IPC}@"):
        return False
    with socket.socket(socket.AF_UNIX) as trial, suppress(OSError):
        trial.connect(address.removeprefix(IPC))
        return True
    return False


def _taken(address: str, why: str) -> Unavailable:
    return Unavailable(f"cannot take orders at {address}: {why}; another flight may: choose another with --orders")


def _answer(parts: list[bytes], craft: Ordered, *, late: bool) -> dict[str, Any]:
    question = Question()
    try:
        question = decode_question(parts)
        return {"type": "pilot", "id": question.id} | _obey(question.order, craft, late=late)
    except QuadfollowError as error:
        return {"type": "error", "id": question.id, "code": error.code, "detail": str(error)}


def _obey(order: Order | None, craft: Ordered, *, late: bool) -> dict[str, Any]:
    if order is None:
        return craft.status()
    if late and order in LATE:
        raise Unavailable(f"{order} came when no flight was under way: order it again")
    mode = craft.order(order)
    return {"order": order, "obeyed": mode == GOALS[order]} | craft.status()
