"""Limits on what many requests hold together: bytes, connections."""

from __future__ import annotations

import concurrent.futures
import json
import socket
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from quadfollow_core.errors import Overloaded
from quadfollow_server import http_protocol, http_request
from quadfollow_server.room import Room
from quadfollow_server.running import RunningServer
from quadfollow_server.settings import Settings

ANY = Settings(port=0, zmq_port=0, pub_port=0)
SMALL = replace(ANY, workers=1, max_body_bytes=100_000, max_waiting_bytes=250_000)
HEAD = b"POST /segment HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 60)), max_size=50))
def test_what_is_held_is_what_was_taken_and_never_too_much(steps: list[tuple[bool, int]]) -> None:
    """Any order of taking and giving back keeps the count; a refusal changes nothing."""
    room, held = Room(100, 100), []
    for takes, size in steps:
        if takes:
            if sum(held) + size > 100:
                with pytest.raises(Overloaded, match="max_waiting_bytes is limited to 100"):
                    room.take(size)
            else:
                room.take(size)
                held.append(size)
        elif held:
            room.give(held.pop())
        assert room.held == sum(held) <= 100


@given(st.lists(st.tuples(st.sampled_from(["a", "b", None]), st.integers(-40, 40)), max_size=50))
def test_one_client_never_holds_more_than_its_share(steps: list[tuple[str | None, int]]) -> None:
    """Whatever clients take and give back, each has its own share; what is nobody's has none."""
    room, held = Room(100, 50), Counter[str | None]()
    for client, size in steps:
        if size < 0:
            size = -min(-size, held[client])
            room.give(-size, client)
        elif client is not None and held[client] + size > 50:
            with pytest.raises(Overloaded, match="max_waiting_bytes_per_client is limited to 50"):
                room.take(size, client)
            size = 0
        elif held.total() + size > 100:
            with pytest.raises(Overloaded, match="max_waiting_bytes is limited to 100"):
                room.take(size, client)
            size = 0
        else:
            room.take(size, client)
        held[client] += size
        assert room.held == held.total()
    for client, size in held.items():
        room.give(size, client)
    room.take(50, "a")
    room.take(50, "b")


def test_a_clients_share_is_half_and_holds_one_body() -> None:
    """However little may wait, a client's largest body fits in."""
    assert ANY.max_waiting_bytes_per_client == 128 * 1024 * 1024
    assert replace(ANY, max_waiting_bytes=ANY.max_body_bytes).max_waiting_bytes_per_client == ANY.max_body_bytes


def held(server: RunningServer) -> int:
    """Bytes that the server says it holds."""
    lines = httpx.get(f"{server.url}/metrics").text.splitlines()
    return int(float(next(line for line in lines if line.startswith("quadfollow_waiting_bytes ")).split()[1]))


def test_frames_that_wait_hold_so_many_bytes_at_most(
    constant: Callable[..., Any], gate: Any, dealer: Any, png: bytes, until: Any
) -> None:
    """Over both doors what waits fits in; one too many is refused by the limit's name, and taken when there is room."""
    large = png + bytes(90_000 - len(png))
    with (
        RunningServer(SMALL, [constant(gate)]) as server,
        concurrent.futures.ThreadPoolExecutor() as pool,
        ExitStack() as stack,
    ):
        client, other = dealer(server.address), dealer(server.address)
        elsewhere = stack.enter_context(httpx.Client(transport=httpx.HTTPTransport(local_address="127.0.0.2")))
        client.send("running", data=large)
        gate.wait_reached()
        client.send("waits", data=large, stream="a")
        over_http = pool.submit(httpx.post, f"{server.url}/segment", content=large, timeout=60)
        until(lambda: held(server) == 2 * len(large))
        refused = client.ask("over its share", data=large, stream="b")
        assert (refused["limit"], refused["allowed"]) == ("max_waiting_bytes_per_client", 125_000)
        answer = httpx.post(f"{server.url}/segment", content=large)
        assert (answer.status_code, answer.json()["limit"]) == (429, "max_waiting_bytes_per_client")
        assert answer.headers["retry-after"] == "1"
        refused = other.ask("too much", data=large)
        assert (refused["code"], refused["limit"], refused["allowed"]) == ("overloaded", "max_waiting_bytes", 250_000)
        answer = elsewhere.post(f"{server.url}/segment", content=large)
        assert (answer.status_code, answer.json()["limit"]) == (503, "max_waiting_bytes")
        assert answer.headers["retry-after"] == "1"
        client.send("newer", data=large, stream="a")  # takes the place of the one that waits, its bytes too
        assert client.read().body["reason"] == "superseded"
        gate.open()
        assert {client.read().body["id"] for _ in range(2)} == {"running", "newer"}
        assert over_http.result().status_code == 200
        until(lambda: held(server) == 0)


def test_bodies_being_received_count_as_far_as_they_have_come(
    constant: Callable[..., Any], dealer: Any, until: Any, png: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Uploads that never end hold what was sent of them, not what they promise, and give it back when they go."""
    monkeypatch.setattr(http_request, "UPLOAD_SECONDS", 600.0)  # they go when the test says so
    with RunningServer(SMALL, [constant()]) as server, ExitStack() as open_ones:

        def upload(host: str, sent: int) -> socket.socket:
            raw = socket.create_connection(("127.0.0.1", server.service.ports.http), 30, source_address=(host, 0))
            open_ones.enter_context(raw).sendall(HEAD % 100_000 + bytes(sent))
            return raw

        for host in ("127.0.0.1", "127.0.0.2", "127.0.0.3"):
            upload(host, 80_000)
        until(lambda: held(server) == 240_000)
        assert upload("127.0.0.3", 50_000).recv(65536).startswith(b"HTTP/1.1 429"), "one address has its share"
        refused = dealer(server.address).ask(1, data=png + bytes(50_000))
        assert refused["limit"] == "max_waiting_bytes"
        assert dealer(server.address).ask(2)["type"] == "result"
        open_ones.close()
        until(lambda: held(server) == 0)
        assert httpx.post(f"{server.url}/segment", content=png).status_code == 200


def test_one_connection_too_many_is_told_so(
    constant: Callable[..., Any], png: bytes, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connections over the limit are answered 503 and closed; those there are go on, and a freed place is taken."""
    for name in ("UPLOAD_SECONDS", "KEEP_ALIVE_SECONDS"):
        monkeypatch.setattr(http_protocol, name, 600)  # none goes before the test says so
    settings = replace(ANY, max_connections=3)
    with (
        RunningServer(settings, [constant()]) as server,
        httpx.Client(base_url=server.url, timeout=30) as http,
    ):
        address = ("127.0.0.1", server.service.ports.http)
        assert http.post("/segment", content=png).status_code == 200
        with socket.create_connection(address), socket.create_connection(address):
            until(lambda: connections(server) == 3)
            with socket.create_connection(address, timeout=30) as surplus:
                answer = b"".join(iter(lambda: surplus.recv(65536), b""))
            assert answer.startswith(b"HTTP/1.1 503")
            problem = json.loads(answer.partition(b"\r\n\r\n")[2])
            assert (problem["limit"], problem["allowed"]) == ("max_connections", 3)
            refused = httpx.post(f"{server.url}/segment", content=png)
            assert (refused.status_code, refused.headers["connection"]) == (503, "close")
            assert refused.json()["limit"] == "max_connections"
            with pytest.raises(InvalidStatus, match="503"):
                connect(server.url.replace("http", "ws") + "/view", proxy=None)
            assert http.post("/segment", content=png).status_code == 200
        until(lambda: connections(server) == 1)
        assert httpx.get(f"{server.url}/livez").status_code == 200


def test_a_full_house_answers_its_probes(constant: Callable[..., Any], until: Any) -> None:
    """Whoever watches over the server learns that it lives, and how many were turned away."""
    with RunningServer(replace(ANY, max_connections=1), [constant()]) as server, ExitStack() as idle:
        idle.enter_context(socket.create_connection(("127.0.0.1", server.service.ports.http)))
        until(lambda: connections(server) == 1)
        for path in ("/livez", "/readyz"):
            assert httpx.get(server.url + path).status_code == 200
        assert httpx.get(f"{server.url}/info").status_code == 503
        told = httpx.get(f"{server.url}/metrics").text
        assert 'quadfollow_refused_total{door="http",reason="connections"} 1.0' in told


def connections(server: RunningServer) -> int:
    """How many HTTP connections a server has, by the kernel's account."""
    import psutil

    port = server.service.ports.http
    found = psutil.Process().net_connections("tcp")
    return sum(one.status == "ESTABLISHED" and one.laddr.port == port for one in found)
