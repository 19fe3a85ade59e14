"""The HTTP client takes nothing for an answer that is none, and names what a caller got wrong."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
import trustme

from quadfollow_core.codec import encode_jpeg
from quadfollow_core.errors import BadInput, BadMessage, ServerGone
from quadfollow_core.http_client import HttpClient, RequestRefused

IMAGE = encode_jpeg(np.zeros((8, 8, 3), np.uint8))
ANSWER = json.dumps({"type": "result", "target": None, "people": []})


@contextmanager
def peer(status: int, body: str, tls: ssl.SSLContext | None = None, **headers: str) -> Iterator[str]:
    """Whatever stands where a server should, giving every request one answer; yields its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(status)
            for name, value in {"content-length": str(len(body.encode())), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"{'http' if tls is None else 'https'}://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_an_answer_is_taken() -> None:
    """The peer of these tests is one that a client understands."""
    with peer(200, ANSWER) as url, HttpClient(url) as client:
        assert client.segment(IMAGE).sighting.target is None


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (301, ""),
        (204, ""),
        (200, "<html>It works!</html>"),
        (200, "[]"),
        (200, '"nobody"'),
        (200, '{"ok": true}'),
        (200, '{"target": 5}'),
    ],
    ids=["redirect", "nothing", "page", "list", "text", "object", "target"],
)
def test_what_is_no_servers_answer_is_not_nobody_seen(status: int, body: str) -> None:
    """A redirect to HTTPS or a web page must not look like a frame without a target."""
    with (
        peer(status, body, location="https://elsewhere.invalid/") as url,
        HttpClient(url) as client,
        pytest.raises(ServerGone, match=f"HTTP {status}|not as a quadfollow server"),
    ):
        client.segment(IMAGE)


@pytest.mark.parametrize("body", ["[]", "bad gateway", '{"detail": "bad gateway"}'])
def test_a_refusal_says_what_it_said(body: str) -> None:
    """Problem documents and proxies' pages are refusals alike."""
    with (
        peer(502, body) as url,
        HttpClient(url) as client,
        pytest.raises(RequestRefused, match="HTTP 502") as refused,
    ):
        client.segment(IMAGE)
    assert refused.value.status == 502


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:abc", "127.0.0.1:8000", "localhost:8000", "", "ftp://host/", "http://a..b"]
)
def test_an_address_that_is_none_is_refused_at_once(url: str) -> None:
    """The message shows one that is."""
    with pytest.raises(BadInput, match="http://127\\.0\\.0\\.1:8000"):
        HttpClient(url)


def test_a_certificate_that_is_not_trusted_is_said_to_be_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault is named with what has a certificate trusted, which then lets the client in."""
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    with peer(200, ANSWER, tls=context) as url:
        with HttpClient(url) as client, pytest.raises(ServerGone, match=r"not trusted: .*; SSL_CERT_FILE") as refused:
            client.segment(IMAGE)
        assert "serve" not in str(refused.value)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
        with HttpClient(url) as client:
            assert client.segment(IMAGE).sighting.target is None


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_a_pictures_bytes_may_come_in_any_hull(kind: type) -> None:
    """Whatever holds a file's bytes is sent as that file."""
    with peer(200, ANSWER) as url, HttpClient(url) as client:
        assert client.segment(kind(IMAGE)).body["type"] == "result"


@pytest.mark.parametrize(
    "image",
    [
        np.frombuffer(IMAGE, np.uint8),
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((8, 8, 3), np.float32),
        np.zeros((0, 8, 3), np.uint8),
        None,
        "frame.jpg",
        8,
    ],
    ids=["encoded", "grey", "rgba", "float", "empty", "cv2.imread of nothing", "path", "number"],
)
def test_pixels_of_another_form_are_refused_with_the_remedy(image: np.ndarray) -> None:
    """Nothing is sent, and the message tells what an image is."""
    with HttpClient("http://127.0.0.1:9") as client, pytest.raises(BadInput, match="uint8 RGB"):
        client.segment(image)


def test_a_picture_too_wide_for_a_jpeg_is_refused_with_the_remedy() -> None:
    """What libjpeg cannot write, PNG can."""
    with HttpClient("http://127.0.0.1:9") as client, pytest.raises(BadInput, match="PNG"):
        client.segment(np.zeros((1, 65501, 3), np.uint8))


@pytest.mark.parametrize("focal", [float("nan"), np.float32(221.7)])
def test_a_camera_that_json_cannot_hold_is_refused(focal: float) -> None:
    """As over ZeroMQ, and before anything is sent."""
    with HttpClient("http://127.0.0.1:9") as client, pytest.raises(BadMessage):
        client.segment(IMAGE, camera={"fx": focal})
