"""How orders lie in messages: parts ``qf1`` and JSON, as on the frames' wire; REQ asks, REP answers.

``docs/orders.md`` has the whole format.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

from quadfollow_core.errors import BadInput, BadMessage
from quadfollow_core.json_text import dump_finite
from quadfollow_core.request import Bytes, FrameId, frame_id
from quadfollow_core.wire import MAGIC, decode_header
from quadfollow_sim.safety import Order

ADDRESS = "tcp://127.0.0.1:5557"
"""Where a flight takes orders unless told otherwise."""
LARGEST = 4096
"""Bytes of one part at most."""
LATE: tuple[Order, ...] = ("arm", "resume")
"""Orders that are not obeyed when they come before a flight begins: what sets in motion must be meant now."""


@dataclass(frozen=True, slots=True)
class Question:
    """An order, or with None only how the pilot stands; ``id`` is repeated in the reply."""

    order: Order | None = None
    id: FrameId = None


def encode_question(question: Question) -> list[bytes]:
    """Lay a question out as message parts."""
    kind = {"type": "status"} if question.order is None else {"type": "order", "order": question.order}
    return encode(kind | {"id": question.id})


def decode_question(parts: Sequence[Bytes]) -> Question:
    """Read a question's parts.

    Raises:
        BadMessage: it is none.
        LimitExceeded: its id is too long.
    """
    header = decode_header(parts)
    if len(parts) != 2:
        raise BadMessage(f"a question has 2 parts (qf1, JSON), got {len(parts)}")
    kind, order, name = header.get("type"), header.get("order"), frame_id(header)
    if kind == "status":
        return Question(None, name)
    if kind != "order":
        raise BadMessage(f"type {kind!r} is not a question: use order or status")
    if order not in get_args(Order):
        raise BadMessage(f"{order!r} is not an order: use {', '.join(get_args(Order))}")
    return Question(order, name)


def encode(body: dict[str, Any]) -> list[bytes]:
    """Lay a question or a reply out as message parts."""
    return [MAGIC, dump_finite(body)]


def decode_reply(parts: Sequence[Bytes]) -> dict[str, Any]:
    """Read a reply's parts.

    Raises:
        BadMessage: it is none.
    """
    body = decode_header(parts)
    if body.get("type") not in ("pilot", "error"):
        raise BadMessage(f"type {body.get('type')!r} is not a pilot's reply")
    return body


def require_private(address: str) -> str:
    """An address that this machine alone reaches.

    Raises:
        BadInput: others reach it too, or it is no address: whoever reaches it can fly.
    """
    match = re.fullmatch(r"tcp://(?P<host>[^/\s]+):(\d{1,5}|\*)|ipc://.+", address)
    if match is None or not (match["host"] is None or _is_loopback(match["host"])):
        raise BadInput(
            f"orders are taken from this machine alone: give tcp://127.0.0.1:PORT or ipc:///PATH, got {address!r}; "
            "from elsewhere come through an SSH tunnel"
        )
    return address


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
