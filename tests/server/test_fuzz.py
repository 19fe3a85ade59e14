"""Generated nonsense at both doors: each piece is answered or its connection closed, and the next good frame answered.

Short and the same each time among the other tests; ``make fuzz EXAMPLES=10000`` makes new nonsense, and as much of it.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import string
from contextlib import suppress
from typing import Any

import httptools
import httpx
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from quadfollow_server.running import RunningServer

EXAMPLES = int(os.environ.get("QUADFOLLOW_FUZZ_EXAMPLES", "0"))
nonsense = hypothesis_settings(
    max_examples=EXAMPLES or 40,
    derandomize=not EXAMPLES,
    database=None,
    suppress_health_check=list(HealthCheck),
)

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(["png", "ping"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
KEYS = st.sampled_from(
    ["type", "id", "stream", "captured_at", "encoding", "want", "reset_track", "deadline_ms", "model", "threshold"]
    + ["min_area", "camera", "truth", "depth", "width", "height"]
)
HEADERS = st.dictionaries(KEYS, VALUES, max_size=5).map(lambda header: json.dumps(header).encode()) | st.binary(
    max_size=100
)
PARTS = st.tuples(st.just(b"qf1"), HEADERS, st.binary(max_size=200)).map(list) | st.lists(
    st.sampled_from([b"qf1", b"{}", b""]) | st.binary(max_size=50), min_size=1, max_size=7
)


def cut(data: bytes, places: list[tuple[int, int]]) -> bytes:
    """Change single bytes of a good file."""
    changed = bytearray(data)
    for place, value in places:
        changed[place % len(changed)] = value
    return bytes(changed)


PLACES = st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=6)


def test_nonsense_over_zeromq(server: RunningServer, dealer: Any, png: bytes) -> None:
    """Any parts at all, and frames whose header or picture is damaged, get one reply each."""
    client = dealer(server.address)

    @nonsense
    @given(PARTS, PLACES, st.booleans())
    def say(parts: list[bytes], places: list[tuple[int, int]], has_picture: bool) -> None:
        if has_picture and len(parts) == 3:
            parts[2] = cut(png, places)
        client.raw(*parts)
        assert client.read().body["type"] in ("error", "result", "dropped", "pong")
        good = client.ask("good", stream="good")
        assert (good["type"], good["id"]) == ("result", "good")

    say()


def test_nonsense_over_http(server: RunningServer, png: bytes) -> None:
    """Any query, content type and body get an answer that is no fault of the server's, a problem where it is none."""
    names = st.sampled_from(
        ["id", "stream", "mask", "track", "threshold", "min_area", "deadline_ms", "overlay", "model"]
    )
    words = st.text(max_size=12) | st.sampled_from(["1", "png", "rle", "nan", "-1", "1e999"])
    types = st.sampled_from(["image/jpeg", "image/png", "", "multipart/form-data; boundary=x", "text/plain"])
    starts = st.sampled_from([b"", b"--x\r\n", b'--x\r\nContent-Disposition: form-data; name="camera"\r\n\r\n'])

    @nonsense
    @given(st.dictionaries(names, words, max_size=3), types, starts, st.binary(max_size=200), PLACES, st.booleans())
    def post(
        query: dict[str, str], kind: str, start: bytes, body: bytes, places: list[tuple[int, int]], has_picture: bool
    ) -> None:
        body = start + (cut(png, places) if has_picture else body)
        answer = client.post("/segment", params=query, content=body, headers={"content-type": kind})
        assert answer.status_code != 500, answer.text
        if answer.status_code >= 400:
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["code"]
        assert client.post("/segment", content=png).json()["target"]

    with httpx.Client(base_url=server.url, timeout=60) as client:
        post()


class Reading:
    """Where a parser of requests is."""

    is_between = False
    """Whether a request has come to its end, and no other has begun."""

    def on_message_begin(self) -> None:
        """Take a request's first byte."""
        self.is_between = False

    def on_message_complete(self) -> None:
        """Take its last one."""
        self.is_between = True


def calls_for_an_answer(data: bytes) -> bool:
    """Whether bytes end with a whole request, or are none whatever comes after them."""
    reading = Reading()
    try:
        httptools.HttpRequestParser(reading).feed_data(data)
    except httptools.HttpParserError:
        return True
    return reading.is_between


def test_bytes_that_are_hardly_http(server: RunningServer, png: bytes) -> None:
    """Damaged request lines and heads end with an answer or a closed connection, never with silence.

    A client that is not at the end of a request says that it sends no more.
    """
    head = b"POST /segment HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
    printable = st.text(string.printable, max_size=80).map(str.encode)
    whole: list[bytes] = []

    @nonsense
    @given(PLACES.map(lambda places: cut(head, places)) | printable | st.binary(max_size=200))
    def send(data: bytes) -> None:
        address = ("127.0.0.1", server.service.ports.http)
        with socket.create_connection(address, timeout=60) as raw, suppress(ConnectionError):
            raw.sendall(data)
            if calls_for_an_answer(data):
                whole.append(data)
                raw.recv(65536)
            else:
                raw.shutdown(socket.SHUT_WR)
                while raw.recv(65536):
                    pass
        good = http.client.HTTPConnection(*address, timeout=60)
        good.request("POST", "/segment", png)
        assert good.getresponse().status == 200
        good.close()

    send()
    assert any(data.endswith(b"abc") for data in whole)
