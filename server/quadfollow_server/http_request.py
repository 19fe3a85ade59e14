"""From an HTTP request to a checked frame: query, raw or multipart body, all within the stated limits."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from quadfollow_core.codec import MEDIA_TYPES
from quadfollow_core.errors import BadImage, BadMessage, LimitExceeded, UnsupportedEncoding
from quadfollow_core.json_text import load
from quadfollow_core.request import FrameRequest, parse_request
from quadfollow_core.wire import MAX_HEADER
from quadfollow_server.settings import UPLOAD_SECONDS

MULTIPART = "multipart/form-data"
ENCODINGS: dict[str, str | None] = {media: name for name, media in MEDIA_TYPES.items()}
ENCODINGS |= {"application/octet-stream": None, "": None}  # by the bytes themselves
MASKS = ("none", "rle", "png")
SWITCHES = {"0": False, "false": False, "1": True, "true": True}
PNG = "image/png"
NUMBER = re.compile(r"\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)
"""What a query may write for a number, read in one pass however long; Python takes more, ``1_000`` among it."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A frame, and in which form the answer is wanted."""

    frame: FrameRequest
    picture: bool
    """The answer is a PNG instead of JSON."""
    overlay: bool
    """The PNG is the frame with its overlay instead of the class mask."""


WITHIN_BODY = 2**31
"""No limit of a part's own: that of the body holds, and of JSON that of :func:`_object`."""


class _InMemory(MultiPartParser):
    """Keeps files in memory (they are within the body's limit), so that a read-only container will do."""

    spool_max_size = WITHIN_BODY


async def read_request(request: Request, max_bytes: int, take: Callable[[int], None]) -> Asked:
    """Read and check one request to ``/segment``; ``take`` is told of each byte of its body that is kept.

    Raises:
        Overloaded: from ``take``, where there is no room for them.
        BadInput, LimitExceeded: as :func:`quadfollow_core.request.parse_request`, and for query and body.
    """
    query = request.query_params
    overlay = _switch(query, "overlay")
    picture = _wants_picture(request.headers.get("accept", ""))
    if overlay and not picture:
        raise BadMessage(f"overlay=1 answers a picture: it needs the header 'Accept: {PNG}'")
    header = _header(query, "png" if picture and not overlay else _mask(query))
    header["traceparent"] = request.headers.get("traceparent")
    try:
        async with asyncio.timeout(UPLOAD_SECONDS):
            frame = await _read_frame(request, header, _within(request, max_bytes, take))
    except TimeoutError as error:
        raise LimitExceeded("upload_seconds", got="more", allowed=UPLOAD_SECONDS) from error
    return Asked(frame, picture, overlay)


async def _read_frame(request: Request, header: dict[str, Any], body: AsyncGenerator[bytes, None]) -> FrameRequest:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != MULTIPART and media_type not in ENCODINGS:
        raise UnsupportedEncoding(
            f"content type {media_type[:80]!r} is not taken: use {', '.join(MEDIA_TYPES.values())}, "
            f"application/octet-stream or {MULTIPART}"
        )
    if media_type == MULTIPART:
        return await _from_parts(request, header, body)
    data = b"".join([chunk async for chunk in body])
    return parse_request(header | {"encoding": ENCODINGS[media_type]}, _not_empty(data))


async def _within(request: Request, max_bytes: int, take: Callable[[int], None]) -> AsyncGenerator[bytes, None]:
    """Yield the body's chunks; refuse it as soon as it is known to be too large."""
    declared = request.headers.get("content-length", "0")
    size = int(declared) if declared.isdecimal() else 0
    if size > max_bytes:
        raise LimitExceeded("max_body_bytes", got=size, allowed=max_bytes)
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > max_bytes:
            raise LimitExceeded("max_body_bytes", got=f"at least {size}", allowed=max_bytes)
        take(len(chunk))
        yield chunk


async def _from_parts(request: Request, header: dict[str, Any], body: AsyncGenerator[bytes, None]) -> FrameRequest:
    try:
        form = await _InMemory(request.headers, body, max_files=8, max_fields=8, max_part_size=WITHIN_BODY).parse()
    except MultiPartException as error:
        raise BadMessage(f"the multipart body cannot be read: {error.message}") from error
    except UnicodeError as error:  # a charset such as "undefined"
        raise BadMessage(f"the multipart body cannot be read in its charset: {error}") from error
    try:
        image, depth = await _file(form, "file"), await _file(form, "depth")
        header |= {"camera": await _object(form, "camera"), "depth": await _object(form, "depth_header")}
    finally:
        await form.close()
    if image is None:
        raise BadMessage("the multipart body has no part 'file' with the image")
    return parse_request(header, _not_empty(image), depth)


async def _file(form: FormData, name: str) -> bytes | None:
    part = form.get(name)
    if isinstance(part, str):
        raise BadMessage(f"part {name!r} is bytes: send it as a file, with a file name")
    return None if part is None else await part.read()


async def _object(form: FormData, name: str) -> dict[str, Any] | None:
    part = form.get(name)
    if part is None:
        return None
    text = await part.read(MAX_HEADER + 1) if isinstance(part, UploadFile) else part
    if len(text) > MAX_HEADER:
        raise LimitExceeded("max_header_bytes", got=f"more in part {name!r}", allowed=MAX_HEADER)
    try:
        value = load(text)
    except (ValueError, RecursionError) as error:
        raise BadMessage(f"part {name!r} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise BadMessage(f"part {name!r} must be a JSON object, got {type(value).__name__}")
    return value


def _not_empty(data: bytes) -> bytes:
    if not data:
        raise BadImage("the body is empty: send the bytes of a JPEG, PNG or WebP file")
    return data


def _header(query: Mapping[str, str], mask: str) -> dict[str, Any]:
    """Say the query in the words of a request's header."""
    header: dict[str, Any] = {key: query[key] for key in ("id", "stream", "model") if key in query}
    header |= {key: _number(query, key, int) for key in ("threshold", "min_area") if key in query}
    header |= {key: _number(query, key, float) for key in ("deadline_ms", "captured_at") if key in query}
    track, reset = _switch(query, "track"), _switch(query, "reset_track")
    if (track or reset) and not query.get("stream"):
        raise BadMessage("track and reset_track belong to a stream: name one with ?stream=")
    wanted = {"target": True, "people": True, "track": track, f"mask:{mask}": mask != "none"}
    return header | {"want": [name for name, is_wanted in wanted.items() if is_wanted], "reset_track": reset}


def _number(query: Mapping[str, str], key: str, kind: type[int] | type[float]) -> float:
    try:
        if NUMBER.fullmatch(query[key]):
            return kind(query[key])
    except ValueError:  # a fraction for an integer, or thousands of digits
        pass
    what = "an integer" if kind is int else "a number"
    raise BadMessage(f"{key} must be {what}, got {query[key][:80]!r}")


def _mask(query: Mapping[str, str]) -> str:
    mask = query.get("mask", "none")
    if mask not in MASKS:
        raise BadMessage(f"mask is one of {', '.join(MASKS)}, got {mask[:80]!r}")
    return mask


def _switch(query: Mapping[str, str], key: str) -> bool:
    value = query.get(key, "0").lower()
    if value not in SWITCHES:
        raise BadMessage(f"{key} is 0 or 1, got {value[:80]!r}")
    return SWITCHES[value]


def _wants_picture(accept: str) -> bool:
    return PNG in accept and "application/json" not in accept
