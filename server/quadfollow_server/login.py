"""Logging in by browser: a form takes an API key once and gives a session cookie for it.

A session is the client's name and an expiry, signed for that very client with a secret made of the server's own key:
nothing is kept, every server with the same folder of keys knows it, also after a restart, and the revoking of the
client's key ends it, whoever gets the name next. Browsers keep one jar for all ports of a host, so servers with other
keys name their cookies differently.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import html
import time
from collections.abc import Callable
from urllib.parse import parse_qs

from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import Receive, Scope

from quadfollow_server.keys import Client, Clients
from quadfollow_server.settings import UPLOAD_SECONDS

LOGIN_PATH = "/login"
SESSION_SECONDS = 12 * 3600
MAX_FORM = 4096

# Under the gate's policy, no-referrer, browsers would post the form as from nowhere: the gate refuses "Origin: null".
FORM = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="referrer" content="same-origin">
<title>quadfollow</title>
<style>
body {{ font: 16px system-ui; margin: 20vh auto; max-width: 22rem }}
input {{ width: 100%; margin: .5rem 0 }}
</style>
<h1>quadfollow</h1>
<form method="post" action="{action}">
<label>API key <input name="key" type="password" autocomplete="current-password" required autofocus></label>
<input name="next" type="hidden" value="{next}">
<button>Log in</button>
<p>{message}</p>
</form>
</html>
"""


class Login:
    """Tells by its key or its session who asks; gives sessions for keys that people type in.

    Args:
        clients: who may come in.
        clock: seconds since a moment that all servers agree on; sessions expire by it.
    """

    def __init__(self, clients: Clients, clock: Callable[[], float] = time.time) -> None:
        self.clients = clients
        self._clock = clock
        self._cookie = cookie_name(clients.server.public_key)
        self._secret = hmac.digest(clients.server.secret_key.encode(), b"quadfollow sessions", "sha256")

    def client_of(self, connection: HTTPConnection) -> Client | None:
        """The client that asks; None where it shows no key, or one that is not known."""
        kind, _, bearer = connection.headers.get("authorization", "").partition(" ")
        presented = bearer.strip() if kind.lower() == "bearer" else connection.headers.get("x-api-key")
        if presented:
            return self._of_api_key(presented)
        return self._of_session(connection.cookies.get(self._cookie, ""))

    async def post(self, scope: Scope, receive: Receive) -> Response:
        """Take the form: a cookie and the way on, or the form again."""
        try:
            async with asyncio.timeout(UPLOAD_SECONDS):
                fields = await _fields(Request(scope, receive))
        except (TimeoutError, ClientDisconnect):
            return login_form("/", "That took too long.")
        wanted = _local(fields.get("next", "/"))
        client = self._of_api_key(fields.get("key", "").strip())
        if client is None:
            return login_form(wanted, "This key is not known here.")
        answer = RedirectResponse(wanted, 303)
        secure = scope.get("scheme") == "https"
        session = self._session(client)
        answer.set_cookie(
            self._cookie, session, max_age=SESSION_SECONDS, httponly=True, samesite="strict", secure=secure
        )
        return answer

    def _of_api_key(self, presented: str) -> Client | None:
        name = self.clients.name_of_api_key(presented)
        return None if name is None else self.clients.named(name)

    def _of_session(self, cookie: str) -> Client | None:
        """Whose session a cookie shows, while it lasts and the client may come in."""
        name, _, rest = cookie.partition(".")
        expiry, _, signature = rest.partition(".")
        client = self.clients.named(name)
        if client is None or not hmac.compare_digest(self._sign(client, expiry).encode(), signature.encode()):
            return None
        return client if int(expiry) > self._clock() else None

    def _session(self, client: Client) -> str:
        expiry = str(int(self._clock()) + SESSION_SECONDS)
        return f"{client.name}.{expiry}.{self._sign(client, expiry)}"

    def _sign(self, client: Client, expiry: str) -> str:
        signed = f"{client.name}.{expiry}.{client.api_key_sha256}"
        return hmac.digest(self._secret, signed.encode(), "sha256").hex()


def cookie_name(server_key: str) -> str:
    """The name of the cookie that holds a session of the servers with this public key."""
    return "quadfollow_" + hashlib.sha256(server_key.encode()).hexdigest()[:16]


def login_form(wanted: str, message: str = "") -> Response:
    """Ask for a key; ``wanted`` is the path, and query, that the visitor gets to afterwards."""
    page = FORM.format(action=LOGIN_PATH, next=html.escape(_local(wanted)), message=html.escape(message))
    return HTMLResponse(page, 401)


async def _fields(request: Request) -> dict[str, str]:
    """Read a short form; none of its fields where it is too long for one."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM:
            return {}
    return {name: values[0] for name, values in parse_qs(body.decode("latin-1")).items()}


def _local(path: str) -> str:
    """A path of this server, whatever was asked for."""
    return path if path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable() else "/"
