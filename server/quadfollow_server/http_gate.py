"""The gate before the HTTP door: who may ask, from which page, and what every answer tells a browser to keep closed.

It wraps the whole application, WebSockets too, so that no route can be left open by mistake.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.middleware.cors import CORSMiddleware
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from quadfollow_server.access import Access, is_loopback
from quadfollow_server.keys import Client, Clients
from quadfollow_server.login import LOGIN_PATH, Login, login_form
from quadfollow_server.metrics import Metrics
from quadfollow_server.problems import document

OPEN = ("/livez", "/readyz")
"""What anybody may ask: an orchestrator's probes carry no keys."""
CHALLENGE = {"www-authenticate": 'Bearer realm="quadfollow"', "connection": "close"}
POLICY_VIOLATION = 1008
"""WebSocket close code: not allowed (RFC 6455)."""
ENDED = "the key was revoked, or the session is over"

POLICY = "; ".join(
    (
        "default-src 'self'",
        "style-src 'self' 'unsafe-inline'",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
# The generated reference loads its script and style from where FastAPI says.
DOCS_POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' https://cdn.jsdelivr.net",
        "style-src 'self' 'unsafe-inline' https://cdn.jsdelivr.net",
        "img-src 'self' data: https://fastapi.tiangolo.com",
        "frame-ancestors 'none'",
    )
)
SECURITY_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
    "content-security-policy": POLICY,
}
"""On every answer that does not set them itself."""


def _encoded(headers: dict[str, str]) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((name.encode(), value.encode()) for name, value in headers.items())


ON_ALL = _encoded(SECURITY_HEADERS)
ON_DOCS = _encoded(SECURITY_HEADERS | {"content-security-policy": DOCS_POLICY})


def guarded(app: ASGIApp, access: Access, clients: Clients | None, address: str | None, metrics: Metrics) -> ASGIApp:
    """Put an application behind the gate, let pages of allowed origins ask first (CORS), and close every answer."""
    gate: ASGIApp = HttpGate(app, access, clients, address, metrics)
    if access.allow_origins:
        headers = ("authorization", "x-api-key", "content-type")
        gate = CORSMiddleware(gate, access.allow_origins, allow_methods=("GET", "POST"), allow_headers=headers)

    async def closed(scope: Scope, receive: Receive, send: Send) -> None:
        await gate(scope, receive, _with_headers(scope, send))

    return closed


class HttpGate:
    """Lets through to an application who may come in.

    Args:
        app: what is guarded.
        access: the server's rules.
        clients: who may come in; None to ask nobody for a key.
        address: the IP address the server listens on; None where another program does, and each request tells.
        metrics: told of each refusal.
    """

    def __init__(
        self, app: ASGIApp, access: Access, clients: Clients | None, address: str | None, metrics: Metrics
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._login = None if clients is None else Login(clients)
        self._origins = access.allow_origins
        self._address = address

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection's scope (ASGI)."""
        if scope["type"] not in ("http", "websocket"):
            return await self._app(scope, receive, send)
        connection = HTTPConnection(scope)
        if (fault := self._foreign(connection)) is not None:
            self._metrics.refuse("http", "origin")
            return await _refuse(document(403, "forbidden", fault), scope, receive, send)
        if scope["path"] in OPEN or self._login is None:
            return await self._app(scope, receive, send)
        if scope["type"] == "http" and scope["path"] == LOGIN_PATH and scope["method"] == "POST":
            answer = await self._login.post(scope, receive)
            if answer.status_code == 401:
                self._metrics.refuse("http", "key")
            return await answer(scope, receive, send)
        client = self._login.client_of(connection)
        if client is None:
            self._metrics.refuse("http", "key")
            return await _refuse(_challenge(connection), scope, receive, send)
        scope["client_name"] = client.name
        if scope["type"] == "websocket":
            send = _while_admitted(connection, client, self._login, send)
        return await self._app(scope, receive, send)

    def _foreign(self, connection: HTTPConnection) -> str | None:
        """Say what is wrong with the page that asks, or the name it asks by; None where nothing is."""
        host = connection.headers.get("host", "")
        origin = connection.headers.get("origin")
        asked = self._address or (connection.scope.get("server") or ("",))[0]
        # A page that rebinds its own name to this machine would else pass for same-origin.
        if self._login is None and is_loopback(asked) and not _is_own_name(host, self._origins):
            return f"this server does not go by the name {host[:80]!r}: use --allow-origin to give it one"
        if origin is None or is_same_origin(origin, host) or origin in self._origins:
            return None
        return f"pages of {origin[:80]!r} may not call this server: see --allow-origin"


def _challenge(connection: HTTPConnection) -> Response:
    """Ask for a key: a person for hers in a form, a program in a problem document."""
    if connection.scope.get("method") == "GET" and "text/html" in connection.headers.get("accept", ""):
        path, query = connection.url.path, connection.url.query
        return login_form(f"{path}?{query}" if query else path)
    detail = "a key is needed: send it as 'Authorization: Bearer …' or 'X-API-Key: …'; see `quadfollow keys`"
    return document(401, "unauthorized", detail, headers=CHALLENGE)


def is_same_origin(origin: str, host: str) -> bool:
    """Whether a browser's ``Origin`` is the page of the server that its ``Host`` names; ports by default count."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    default = {"http": ":80", "https": ":443"}.get(parts.scheme)
    if default is None:
        return False
    return parts.netloc.lower().removesuffix(default) == host.lower().removesuffix(default)


def _is_own_name(host: str, origins: Sequence[str]) -> bool:
    """Whether a ``Host`` is no name that a stranger could have pointed at this machine."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:  # no name at all
        return False
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return "." not in name or name.endswith(".localhost") or any(urlsplit(one).hostname == name for one in origins)
    return True


def _with_headers(scope: Scope, send: Send) -> Send:
    """Add the security headers that an answer does not set itself."""
    wanted = ON_DOCS if scope.get("path") == "/docs" else ON_ALL  # a lifespan has none

    async def completed(message: Message) -> None:
        if message["type"] == "http.response.start":
            present = {name.lower() for name, _ in message["headers"]}
            message["headers"] = [*message["headers"], *(one for one in wanted if one[0] not in present)]
        await send(message)

    return completed


def _while_admitted(connection: HTTPConnection, client: Client, login: Login, send: Send) -> Send:
    """End a WebSocket whose key was revoked or whose session is over, the next time something is sent."""

    async def checked(message: Message) -> None:
        if message["type"] == "websocket.send" and login.client_of(connection) != client:
            message = {"type": "websocket.close", "code": POLICY_VIOLATION, "reason": ENDED}
        await send(message)

    return checked


async def _refuse(answer: Response, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":  # before it is accepted, this answers 403
        return await send({"type": "websocket.close", "code": POLICY_VIOLATION})
    return await answer(scope, receive, send)
