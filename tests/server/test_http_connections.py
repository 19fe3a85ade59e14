"""Connections to the HTTP door that never end, end too soon or speak no HTTP: closed in time, and without a trace."""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import httpx
import pytest
from tests.server.dispatching import ONE_WORKER

from quadfollow_server import http_protocol, http_request
from quadfollow_server.running import RunningServer

FIELDS = [b"x-big: " + b"a" * 300_000, b"".join(b"x-%d: y\r\n" % n for n in range(40_000))]


def cut_off(server: RunningServer, data: bytes) -> bytes:
    """Send what the server does not want to hear to its end; return its answer once it has closed the connection."""
    answer = b""
    with socket.create_connection(("127.0.0.1", server.service.ports.http), timeout=30) as raw:
        try:
            raw.sendall(data)
            while part := raw.recv(65536):
                answer += part
        except ConnectionError:
            pass  # closed while still sending
    return answer


@pytest.mark.parametrize("head", FIELDS)
def test_a_head_without_end_is_cut_off(server: RunningServer, http: httpx.Client, head: bytes) -> None:
    """Headers that go on for too long are refused, and the connection is closed."""
    answer = cut_off(server, b"GET /livez HTTP/1.1\r\nHost: x\r\n" + head)
    assert not answer or answer.startswith(b"HTTP/1.1 431")


def test_the_limit_of_a_head_is_one_that_info_tells(server: RunningServer, http: httpx.Client) -> None:
    """A head that is too long is refused with the limit's name and its value as in `/info`."""
    answer = cut_off(server, b"GET /livez HTTP/1.1\r\nHost: x\r\nx-big: " + b"a" * 65536)
    problem = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert http.get("/info").json()["limits"][problem["limit"]] == problem["allowed"]


@pytest.mark.parametrize("size", [65_500, 65_600, 130_000])
@pytest.mark.parametrize("start", [b"GET /livez?", b"GET /livez HTTP/1.1\r\nHost: x\r\nx-big: "])
def test_a_head_that_comes_whole_is_measured_too(
    server: RunningServer, http: httpx.Client, start: bytes, size: int
) -> None:
    """How long a head may be does not hang on how many packets bring it."""
    end = b" HTTP/1.1\r\n\r\n" if start.endswith(b"?") else b"\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.service.ports.http), timeout=30) as raw:
        raw.sendall(start + b"a" * (size - len(start)) + end)
        assert raw.recv(65536).startswith(b"HTTP/1.1 200" if size < 65_536 else b"HTTP/1.1 431")


def test_requests_sent_at_once_are_answered_in_their_order(constant: Callable[..., Any], gate: Any, png: bytes) -> None:
    """What could be answered at once waits for the frame before it; on another connection it does not."""
    post = b"POST /segment?id=%s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s"
    get = b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n"
    requests = [post % (b"1st", len(png), png), get % b"/livez", post % (b"2nd", len(png), png), get % b"/nowhere"]
    told = [b'"id":"1st"', b'{"alive":true}', b'"id":"2nd"', b"not-found"]
    with (
        RunningServer(ONE_WORKER, [constant(gate)]) as server,
        socket.create_connection(("127.0.0.1", server.service.ports.http), timeout=60) as raw,
    ):
        raw.sendall(b"".join(requests))
        gate.wait_reached()
        httpx.get(f"{server.url}/livez").raise_for_status()
        gate.open()
        answers = b""
        while told[-1] not in answers:
            part = raw.recv(65536)
            assert part, answers
            answers += part
    assert answers.count(b"HTTP/1.1 ") == len(requests)
    places = [answers.index(text) for text in told]
    assert places == sorted(places)


def test_what_is_wrong_is_no_answer_to_what_came_before(constant: Callable[..., Any], gate: Any, png: bytes) -> None:
    """Nonsense behind a request that still waits ends the connection: a refusal would pass for that one's answer."""
    request = b"POST /segment HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(png) + png
    with (
        RunningServer(ONE_WORKER, [constant(gate)]) as server,
        socket.create_connection(("127.0.0.1", server.service.ports.http), timeout=60) as raw,
    ):
        raw.sendall(request)
        gate.wait_reached()
        raw.sendall(b"nonsense\r\n\r\n")
        assert is_closed(raw)


def test_one_request_gets_one_answer(server: RunningServer) -> None:
    """A body that turns out to be nonsense after the request was refused gets no second answer."""
    head = b"POST /segment HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.service.ports.http), timeout=30) as raw:
        raw.sendall(head)
        answer = raw.recv(65536)
        raw.sendall(b"nonsense\r\n")
        with suppress(ConnectionError):
            while part := raw.recv(65536):
                answer += part
    assert answer.startswith(b"HTTP/1.1 415")
    assert answer.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize("trailers", FIELDS)
@pytest.mark.parametrize("request_line", [b"POST /segment", b"GET /livez"])
def test_trailers_without_end_are_cut_off(
    server: RunningServer, http: httpx.Client, request_line: bytes, trailers: bytes
) -> None:
    """Trailers that go on for too long end the connection, whether or not the request has been answered already."""
    head = request_line + b" HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = cut_off(server, head + b"1\r\nx\r\n0\r\n" + trailers)
    assert not answer or answer.startswith((b"HTTP/1.1 431", b"HTTP/1.1 200"))


def test_trailers_are_no_headers(server: RunningServer, http: httpx.Client, png: bytes) -> None:
    """A body that ends with a trailer is answered as one without, whatever the trailer says."""
    head = b"POST /segment HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    body = b"%x\r\n%b\r\n0\r\nContent-Type: text/plain\r\nAccept: image/png\r\n\r\n" % (len(png), png)
    answer = cut_off(server, head + body)
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"application/json" in answer


def test_bytes_that_are_not_http(server: RunningServer, http: httpx.Client) -> None:
    """Noise on the port is answered as a bad request."""
    with socket.create_connection(("127.0.0.1", server.service.ports.http), timeout=30) as raw:
        raw.sendall(b"\x16\x03\x01 this is not HTTP\r\n\r\n")
        answer = raw.recv(65536)
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"x-content-type-options: nosniff" in answer


def test_a_client_that_leaves_in_the_middle(server: RunningServer, http: httpx.Client) -> None:
    """A connection that ends before its body does no harm."""
    with socket.create_connection(("127.0.0.1", server.service.ports.http), timeout=30) as raw:
        raw.sendall(b"POST /segment HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf")


@contextmanager
def connected(segmenter: Any) -> Iterator[socket.socket]:
    """A bare connection to the HTTP door of a server of its own."""
    with (
        RunningServer(segmenters=[segmenter]) as server,
        socket.create_connection(("127.0.0.1", server.service.ports.http), timeout=60) as raw,
    ):
        yield raw


def test_a_body_that_never_ends(constant: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that takes longer than allowed is given up with 408 and the limit."""
    monkeypatch.setattr(http_request, "UPLOAD_SECONDS", 0.05)
    with connected(constant()) as raw:
        raw.sendall(b"POST /segment HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf")
        answer = raw.recv(65536)
    assert answer.startswith(b"HTTP/1.1 408")


def is_closed(raw: socket.socket) -> bool:
    """Wait until the server has closed a connection, and return whether it did so without a word."""
    with suppress(ConnectionError):
        return raw.recv(65536) == b""
    return True


@pytest.mark.parametrize("earlier", [b"", b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"])
@pytest.mark.parametrize("head", [b"\r\n", b"GET /livez HTTP/1.1\r\nx-"])
def test_a_head_that_never_ends(
    constant: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, earlier: bytes, head: bytes
) -> None:
    """A connection that brings no head to its end in time is closed, the first one and those after it."""
    monkeypatch.setattr(http_protocol, "UPLOAD_SECONDS", 600.0 if earlier else 0.2)
    with connected(constant()) as raw:
        if earlier:
            raw.sendall(earlier)
            assert raw.recv(65536).startswith(b"HTTP/1.1 200")
            monkeypatch.setattr(http_protocol, "UPLOAD_SECONDS", 0.2)
        with suppress(ConnectionError):  # it may be over already
            raw.sendall(head)
        assert is_closed(raw)


def test_a_body_that_nobody_waits_for(constant: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a request was answered without its body, the connection ends in time all the same."""
    monkeypatch.setattr(http_protocol, "UPLOAD_SECONDS", 600.0)
    with connected(constant()) as raw:
        raw.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
        assert raw.recv(65536).startswith(b"HTTP/1.1 200")
        monkeypatch.setattr(http_protocol, "UPLOAD_SECONDS", 0.2)
        with suppress(ConnectionError):  # it may be over already
            raw.sendall(b"x")  # from now on uvicorn's own patience has no end
        assert is_closed(raw)


def test_a_websocket_with_a_body(server: RunningServer) -> None:
    """A request for a WebSocket that has a body is refused at once."""
    lines = (b"GET /view HTTP/1.1", b"Host: x", b"Connection: upgrade", b"Upgrade: websocket", b"Content-Length: 1000")
    with socket.create_connection(("127.0.0.1", server.service.ports.http), timeout=60) as raw:
        raw.sendall(b"\r\n".join([*lines, b"", b""]))
        assert raw.recv(65536).startswith(b"HTTP/1.1 400")
        assert is_closed(raw)


def test_a_connection_that_says_nothing(constant: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that is only opened is closed in time, too."""
    monkeypatch.setattr(http_protocol, "UPLOAD_SECONDS", 0.2)
    with connected(constant()) as raw:
        assert is_closed(raw)


def test_a_head_that_ended_in_time_leaves_all_time_for_the_answer(
    png: bytes, constant: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Waiting for an answer longer than a head may take closes nothing."""
    monkeypatch.setattr(http_protocol, "UPLOAD_SECONDS", 0.2)
    looks: list[None] = []

    def look() -> None:
        looks.append(None)
        time.sleep(0.4)

    with (
        RunningServer(ONE_WORKER, [constant(look)]) as server,
        httpx.Client(base_url=server.url, timeout=60) as http,
    ):
        answered = 0
        while answered < 2:
            looks.clear()
            try:
                assert http.post("/segment", content=png).status_code == 200
            except httpx.TransportError:
                assert not looks, "closed although its head had ended in time"
            else:
                answered += 1


def complaints(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the HTTP door has logged."""
    return [record.getMessage() for record in caplog.records if record.name.startswith(("uvicorn", "python_multipart"))]


def test_requests_of_a_client_that_leaves_leave_no_trace(
    constant: Callable[..., Any], gate: Any, png: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Of two requests sent at once over a connection that is reset, the first is answered to nobody, in silence."""
    request = b"POST /segment HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(png) + png
    with RunningServer(ONE_WORKER, [constant(gate)]) as server, httpx.Client(base_url=server.url) as http:
        with socket.create_connection(("127.0.0.1", server.service.ports.http), timeout=30) as raw:
            raw.sendall(2 * request)
            gate.wait_reached()
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        for _ in range(3):
            http.get("/livez").raise_for_status()
        gate.open()
        http.post("/segment", content=png).raise_for_status()
    assert complaints(caplog) == []


def test_nonsense_leaves_no_lines_in_the_log(
    server: RunningServer, http: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    """Strangers could fill the disk with what they send: they get a problem document, and the log gets nothing."""
    for noise in (b"\x16\x03\x01\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", server.service.ports.http), timeout=30) as raw:
            raw.sendall(noise)
            assert raw.recv(65536).startswith(b"HTTP/1.1 ")
    form = {"content-type": "multipart/form-data; boundary=here"}
    assert http.post("/segment", content=b"--there\r\n", headers=form).status_code == 400
    http.get("/livez").raise_for_status()
    assert complaints(caplog) == []
