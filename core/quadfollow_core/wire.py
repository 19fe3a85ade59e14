"""The ZeroMQ wire, version 1: how requests and replies lie in message parts.

Request (DEALER to ROUTER): ``b"qf1"``, JSON header, image bytes, optional depth bytes; a ping is ``b"qf1"`` and
``{"type": "ping"}``. Reply: ``b"qf1"``, JSON with ``type`` ``result | dropped | error | pong``, optional mask PNG.
Publication (PUB): ``stream + NUL``, JSON; with its picture, for who asks: ``0xff + stream + NUL``, JSON, image bytes.
``docs/wire.md`` has the whole format and test vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from quadfollow_core.errors import BadMessage, LimitExceeded
from quadfollow_core.json_text import dump, dump_finite, load
from quadfollow_core.request import Bytes, FrameRequest, Result, frame_id, parse_request, shown

MAGIC = b"qf1"
PICTURES = b"\xff"
"""What topics of publications with pictures begin with; no stream's name does, because UTF-8 has no such byte."""
MAX_HEADER = 64 * 1024
"""Largest JSON header of a request, in bytes; a reply with ``mask:rle`` may be larger."""


@dataclass(frozen=True, slots=True)
class Ping:
    """A request that only asks whether somebody is there; ``id`` is repeated in the ``pong``."""

    id: str | int | None = None


def is_ipv6(address: str) -> bool:
    """Whether an address such as ``tcp://[::1]:5555`` is of IPv6, for which libzmq's sockets must be told."""
    return "[" in address


def encode_request(header: dict[str, Any], image: Bytes, depth: Bytes | None = None) -> list[Bytes]:
    """Lay a request out as message parts.

    Raises:
        BadMessage: the header holds what JSON cannot.
        LimitExceeded: it has more bytes than a server reads.
    """
    text = dump(header)
    _require_short(text, MAX_HEADER)
    parts: list[Bytes] = [MAGIC, text, image]
    return parts if depth is None else [*parts, depth]


def encode_ping(number: str | int | None = None) -> list[Bytes]:
    """Lay a ping out as message parts."""
    return [MAGIC, dump({"type": "ping", "id": number})]


def decode_request(parts: Sequence[Bytes]) -> FrameRequest | Ping:
    """Read a request's parts (without the ROUTER's identity).

    Raises:
        BadMessage, and what :func:`quadfollow_core.request.parse_request` raises.
    """
    header = decode_header(parts)
    kind = header.get("type")
    if kind == "ping":
        return Ping(frame_id(header))
    if kind not in (None, "frame"):
        raise BadMessage(f"type {shown(kind)} is not a request: use frame (the default) or ping")
    if not 3 <= len(parts) <= 4:
        raise BadMessage(f"a request has 3 or 4 parts (qf1, header, image[, depth]), got {len(parts)}")
    return parse_request(header, parts[2], parts[3] if len(parts) == 4 else None)


def decode_header(parts: Sequence[Bytes], most: int | None = MAX_HEADER) -> dict[str, Any]:
    """Read the JSON object in part 1 of a message that starts with the magic part.

    Raises:
        BadMessage: the magic part is missing, or part 1 is not a JSON object.
        LimitExceeded: it has more than ``most`` bytes.
    """
    if not parts or bytes(parts[0]) != MAGIC:
        got = bytes(parts[0][:8]) if parts else b""
        raise BadMessage(f"part 0 must be {MAGIC!r}, the wire's version, got {got!r}")
    if len(parts) < 2:
        raise BadMessage("part 1, the JSON header, is missing")
    if most is not None:
        _require_short(parts[1], most)
    try:
        header = load(parts[1])
    except (ValueError, RecursionError) as error:
        raise BadMessage(f"part 1 is not JSON: {error}") from error
    if not isinstance(header, dict):
        raise BadMessage(f"part 1 must be a JSON object, got {type(header).__name__}")
    return header


def encode_reply(result: Result) -> list[bytes]:
    """Lay a reply out as message parts."""
    parts = [MAGIC, dump_finite(result.body)]
    return parts if result.mask_png is None else [*parts, result.mask_png]


def decode_reply(parts: Sequence[Bytes]) -> Result:
    """Read a reply's parts.

    Raises:
        BadMessage: not a reply of this wire.
    """
    body = decode_header(parts, most=None)
    if body.get("type") not in ("result", "dropped", "error", "pong"):
        raise BadMessage(f"type {shown(body.get('type'))} is not a reply")
    return Result(body, bytes(parts[2]) if len(parts) > 2 else None)


def topic(stream: str) -> bytes:
    """Return the PUB topic of a stream: its name and a NUL, so that subscribing to it matches it alone."""
    return stream.encode() + b"\0"


def picture_topic(stream: str) -> bytes:
    """Return the topic under which a stream's results are published with their pictures, to who subscribes to it."""
    return PICTURES + topic(stream)


def encode_publication(stream: str, body: dict[str, Any]) -> list[bytes]:
    """Lay a published result out as message parts."""
    return [topic(stream), dump_finite(body)]


def decode_publication(parts: Sequence[Bytes]) -> tuple[str, dict[str, Any]]:
    """Read a publication as (stream, JSON body).

    Raises:
        BadMessage: not a publication of this wire.
    """
    if len(parts) < 2 or bytes(parts[0][-1:]) != b"\0":
        raise BadMessage("a publication has a topic that ends in NUL, and a JSON body")
    return _stream(parts[0][:-1]), decode_header([MAGIC, parts[1]], most=None)


def encode_picture(stream: str, body: dict[str, Any], image: Bytes) -> list[Bytes]:
    """Lay a published result with its picture out as message parts."""
    return [picture_topic(stream), dump_finite(body), image]


def decode_picture(parts: Sequence[Bytes]) -> tuple[str, dict[str, Any], bytes]:
    """Read a publication with its picture as (stream, JSON body, image bytes).

    Raises:
        BadMessage: not such a publication of this wire.
    """
    if len(parts) != 3 or bytes(parts[0][:1]) != PICTURES or bytes(parts[0][-1:]) != b"\0":
        raise BadMessage("a publication with its picture has a topic from 0xff to NUL, a JSON body and the image")
    return _stream(parts[0][1:-1]), decode_header([MAGIC, parts[1]], most=None), bytes(parts[2])


def _require_short(header: Bytes, most: int) -> None:
    if len(header) > most:
        raise LimitExceeded("max_header_bytes", got=len(header), allowed=most)


def _stream(name: Bytes) -> str:
    try:
        return bytes(name).decode()
    except UnicodeDecodeError as error:
        raise BadMessage(f"a stream's name is UTF-8: {error}") from error
