"""Clients behind a proxy: whose share of the places they use, and which proxies are believed."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.server.conftest import bearer, has_ipv6
from tests.server.dispatching import ONE_WORKER

from quadfollow_core.client_key import ClientKey
from quadfollow_server import http_door
from quadfollow_server.access import Access
from quadfollow_server.keys import new_client
from quadfollow_server.running import RunningServer

ONE_EACH = replace(ONE_WORKER, max_waiting=8)
"""Of eight places an eighth is one client's share."""
Until = Callable[[Callable[[], bool]], None]


@pytest.fixture(autouse=True)
def _refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who finds no room is told so without a pause."""
    monkeypatch.setattr(http_door, "REFUSAL_SECONDS", 0.0)


class Proxy:
    """Passes on what clients send, from an address of its own."""

    def __init__(self, port: int, address: str, png: bytes) -> None:
        self._port, self._address, self._png = port, address, png
        transport = httpx.HTTPTransport(local_address=address)
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}", transport=transport, timeout=30)

    def post(self, client: str, **headers: str) -> int:
        """Post a picture for a client, and return the status it got."""
        shown = {"x-forwarded-for": client, **headers}
        return self.http.post("/segment", content=self._png, headers=shown).status_code

    @contextmanager
    def half_a_body(self, client: str, **headers: str) -> Iterator[None]:
        """Take a client's place with a body that does not come to its end."""
        shown = {"host": "x", "x-forwarded-for": client, "content-length": "1000", **headers}
        lines = ["POST /segment HTTP/1.1", *(f"{name}: {value}" for name, value in shown.items()), "", "half"]
        with socket.create_connection(("127.0.0.1", self._port), source_address=(self._address, 0)) as raw:
            raw.sendall("\r\n".join(lines).encode())
            yield


@contextmanager
def proxied(server: RunningServer, address: str, png: bytes) -> Iterator[Proxy]:
    """A proxy before a server."""
    proxy = Proxy(server.service.ports.http, address, png)
    with proxy.http:
        yield proxy


@pytest.mark.parametrize(
    ("host", "address", "allowed", "is_believed"),
    [
        ("127.0.0.1", "127.0.0.1", None, True),
        pytest.param("::", "127.0.0.1", None, True, marks=pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")),
        ("127.0.0.1", "127.0.0.2", None, False),
        ("127.0.0.1", "127.0.0.2", "10.9.9.9, 127.0.0.2", True),
        ("127.0.0.1", "127.0.0.1", "127.0.0.2", False),
    ],
)
def test_a_client_has_its_own_share_behind_a_proxy_that_is_believed(
    constant: Callable[..., Any],
    png: bytes,
    until: Until,
    monkeypatch: pytest.MonkeyPatch,
    host: str,
    address: str,
    allowed: str | None,
    is_believed: bool,
) -> None:
    """It is known by what the proxy adds, not by what it writes before that itself; all others are one client."""
    monkeypatch.delenv("FORWARDED_ALLOW_IPS", raising=False)
    if allowed is not None:
        monkeypatch.setenv("FORWARDED_ALLOW_IPS", allowed)
    settings = replace(ONE_EACH, host=host, access=Access(insecure_public=True))
    with RunningServer(settings, [constant()]) as server, proxied(server, address, png) as proxy:
        with proxy.half_a_body("10.0.0.1"):
            until(lambda: proxy.post("10.0.0.1") == 429)
            assert proxy.post("10.0.0.7, 10.0.0.1") == 429
            assert proxy.post("10.0.0.2") == (200 if is_believed else 429)
        until(lambda: proxy.post("10.0.0.1") == 200)


def test_a_key_counts_whatever_a_proxy_says(
    constant: Callable[..., Any], png: bytes, until: Until, key: ClientKey, folder: Path
) -> None:
    """One client from two addresses has one share, and two clients from one address have two."""
    mine, other = bearer(key), bearer(new_client(folder, "other"))
    settings = replace(ONE_EACH, access=Access(keys=str(folder)))
    with (
        RunningServer(settings, [constant()]) as server,
        proxied(server, "127.0.0.1", png) as proxy,
        proxy.half_a_body("10.0.0.1", **mine),
    ):
        until(lambda: proxy.post("10.0.0.1", **mine) == 429)
        assert proxy.post("10.0.0.2", **mine) == 429
        assert proxy.post("10.0.0.1", **other) == 200


@pytest.mark.parametrize(("address", "is_secure"), [("127.0.0.1", True), ("127.0.0.2", False)])
def test_a_session_over_a_proxys_tls_is_for_tls_alone(
    constant: Callable[..., Any], png: bytes, key: ClientKey, folder: Path, address: str, is_secure: bool
) -> None:
    """The cookie is Secure where a proxy that is believed says that it was asked over https."""
    settings = replace(ONE_EACH, access=Access(keys=str(folder)))
    with RunningServer(settings, [constant()]) as server, proxied(server, address, png) as proxy:
        https = {"x-forwarded-proto": "https"}
        cookie = proxy.http.post("/login", data={"key": key.api_key}, headers=https).headers["set-cookie"]
    assert ("; secure" in cookie.lower()) == is_secure
