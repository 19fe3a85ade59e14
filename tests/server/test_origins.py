"""Pages of other origins: turned away, unless they are allowed by name."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from quadfollow_server.access import Access
from quadfollow_server.http_gate import is_same_origin
from quadfollow_server.running import RunningServer
from quadfollow_server.settings import Settings

ANY = Settings(port=0, zmq_port=0, pub_port=0)


def test_foreign_pages_are_turned_away(server: RunningServer, png: bytes) -> None:
    """A page of another origin can neither post frames nor read; nor can a name that was pointed at this machine."""
    with httpx.Client(base_url=server.url, timeout=30) as http:
        own = http.post("/segment", content=png, headers={"origin": server.url})
        assert own.json()["type"] == "result"
        assert not [name for name in own.headers if name.startswith("access-control")]
        for headers in (
            {"origin": "https://evil.example"},
            {"origin": "null"},
            {"host": "evil.example"},
            {"host": "evil.example", "origin": "http://evil.example"},
            {"origin": "http://["},
            {"host": "["},
        ):
            refused = http.post("/segment", content=png, headers=headers)
            assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
            assert "--allow-origin" in refused.json()["detail"]
        for host in ("localhost", "127.0.0.1:1234", "[::1]:8000", "drone", "x.localhost"):
            assert http.get("/livez", headers={"host": host}).status_code == 200


def test_a_name_pointed_at_this_machine_opens_no_websocket(server: RunningServer) -> None:
    """A page is refused the live view though its own name led here and it counts as same-origin; by ours it looks."""
    port = int(server.url.rpartition(":")[2])

    def look(host: str) -> ClientConnection:
        here = socket.create_connection(("127.0.0.1", port))
        return connect(f"ws://{host}:{port}/view", sock=here, proxy=None, origin=Origin(f"http://{host}:{port}"))

    with pytest.raises(InvalidStatus) as refused:
        look("evil.example")
    assert refused.value.response.status_code == 403
    with look("localhost") as own:
        own.send('{"stream": null}')
        own.recv(timeout=60)


def test_an_allowed_origin_may_call(constant: Callable[..., Any], png: bytes) -> None:
    """Opened for one origin, its pages may ask first and then ask; others still may not. All answers stay closed."""
    access = Access(allow_origins=("https://drone.example",))
    with (
        RunningServer(replace(ANY, access=access), [constant()]) as server,
        httpx.Client(base_url=server.url, timeout=30) as http,
    ):
        asking = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
        for origin, allowed in (("https://drone.example", True), ("https://evil.example", False)):
            preflight = http.options("/segment", headers={"origin": origin} | asking)
            assert preflight.headers.get("access-control-allow-origin") == (origin if allowed else None)
            assert preflight.headers["x-content-type-options"] == "nosniff"
            assert "default-src 'self'" in preflight.headers["content-security-policy"]
            answer = http.post("/segment", content=png, headers={"origin": origin})
            assert answer.status_code == (200 if allowed else 403)
            assert answer.headers.get("access-control-allow-origin") == (origin if allowed else None)
        assert http.get("/livez", headers={"host": "drone.example"}).status_code == 200


@pytest.mark.parametrize(
    ("origin", "host", "same"),
    [
        ("http://127.0.0.1:8000", "127.0.0.1:8000", True),
        ("https://Drone.example", "drone.example:443", True),
        ("http://drone.example:80", "drone.example", True),
        ("http://drone.example:8000", "drone.example:8001", False),
        ("http://drone.example.evil", "drone.example", False),
        ("http://drone.example@evil", "drone.example", False),
        ("null", "", False),
        ("file://", "", False),
        ("http://[", "[", False),
    ],
)
def test_origins_are_compared_by_host_and_port(origin: str, host: str, same: bool) -> None:
    """A page is the server's own if host and port are the same."""
    assert is_same_origin(origin, host) is same
