"""The live view's page: files of this package, held in memory, under a policy that lets in nothing from elsewhere."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files

from fastapi import HTTPException, Request
from fastapi.responses import Response

FOLDER = "web"
INDEX = "index.html"
MEDIA_TYPES = {"css": "text/css", "html": "text/html", "js": "text/javascript", "svg": "image/svg+xml"}
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "cache-control": "no-cache",
    "content-security-policy": POLICY,
}
"""Those that are not the ones of every other answer; see :mod:`quadfollow_server.http_gate`."""


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    media_type: str
    tag: str


class Page:
    """Answers with the page's files."""

    def __init__(self) -> None:
        folder = files("quadfollow_server") / FOLDER
        self._files = {file.name: _load(file.name, file.read_bytes()) for file in folder.iterdir() if file.is_file()}

    async def index(self, request: Request) -> Response:
        """Show the live view."""
        return await self.file(INDEX, request)

    async def file(self, name: str, request: Request) -> Response:
        """Give one of the page's files."""
        file = self._files.get(name)
        if file is None:
            raise HTTPException(404)
        headers = HEADERS | {"etag": file.tag}
        if request.headers.get("if-none-match") == file.tag:
            return Response(status_code=304, headers=headers)
        return Response(file.content, headers=headers, media_type=file.media_type)


def _load(name: str, content: bytes) -> _File:
    return _File(content, MEDIA_TYPES[name.rpartition(".")[2]], f'"{hashlib.sha256(content).hexdigest()[:16]}"')
