"""Errors over HTTP: problem documents as RFC 9457 describes them, with the limit that was broken."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from starlette.responses import Response

from quadfollow_core.errors import (
    BadInput,
    LimitExceeded,
    NotFound,
    Overloaded,
    QuadfollowError,
    Unavailable,
    UnsupportedEncoding,
)
from quadfollow_server.jobs import Dropped

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 1

# The first kind that fits decides.
STATUS: tuple[tuple[type[QuadfollowError], HTTPStatus], ...] = (
    (UnsupportedEncoding, HTTPStatus.UNSUPPORTED_MEDIA_TYPE),
    (BadInput, HTTPStatus.BAD_REQUEST),
    (LimitExceeded, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    (NotFound, HTTPStatus.NOT_FOUND),
    (Overloaded, HTTPStatus.SERVICE_UNAVAILABLE),
    (Unavailable, HTTPStatus.SERVICE_UNAVAILABLE),
    (QuadfollowError, HTTPStatus.INTERNAL_SERVER_ERROR),
)
STATUS_OF_LIMIT = {
    "max_waiting_bytes_per_client": HTTPStatus.TOO_MANY_REQUESTS,
    "max_waiting_per_client": HTTPStatus.TOO_MANY_REQUESTS,
    "upload_seconds": HTTPStatus.REQUEST_TIMEOUT,
}
TRY_AGAIN = (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS)
TITLES = {
    "bad-image": "The image cannot be read",
    "unsupported-encoding": "This encoding is not taken",
    "bad-geometry": "Camera, pose or depth make no sense",
    "bad-message": "The request is not of the expected form",
    "limit-exceeded": "A limit was passed",
    "overloaded": "No room for one more request now",
    "not-found": "There is no such thing here",
    "unavailable": "Not available now",
    "dropped": "The frame was dropped",
}
DROPPED = {
    "deadline": "its deadline, or queue_seconds, had passed before it could be looked at",
    "gone": "its client has gone",
    "shutdown": "the server is stopping",
    "superseded": "a newer frame of the stream took its place",
}


def problem(error: QuadfollowError) -> Response:
    """Answer a deliberate error."""
    status = next(status for kind, status in STATUS if isinstance(error, kind))
    extra: dict[str, Any] = {}
    if isinstance(error, LimitExceeded | Overloaded):
        extra = {"limit": error.limit, "allowed": error.allowed}
        status = STATUS_OF_LIMIT.get(error.limit, status)
    return document(status, error.code, str(error), **extra)


def dropped_problem(dropped: Dropped) -> Response:
    """Answer for a frame that was not looked at."""
    detail = f"the frame was dropped after {dropped.held_ms} ms: {DROPPED[dropped.reason]}"
    return document(HTTPStatus.SERVICE_UNAVAILABLE, "dropped", detail, reason=dropped.reason, held_ms=dropped.held_ms)


def document(
    status: int, code: str, detail: str, *, headers: dict[str, str] | None = None, **extra: object
) -> Response:
    """Write one problem document."""
    title = TITLES.get(code) or HTTPStatus(status).phrase
    body = {"type": f"urn:quadfollow:problem:{code}", "title": title, "status": int(status), "detail": detail}
    headers = dict(headers or {})
    if status in TRY_AGAIN:
        headers["retry-after"] = str(RETRY_SECONDS)
    return Response(json.dumps(body | {"code": code} | extra), status, headers, MEDIA_TYPE)
