"""Downloads over a real HTTP server that breaks off, forgets ranges and changes its mind."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from quadfollow_core.errors import NotFound, ServerGone
from quadfollow_training.download import Patience, download

CONTENT = bytes(range(256)) * 1000
QUICK = Patience(attempts=3, pause=0.0)


class Server(ThreadingHTTPServer):
    """Serves ``content`` at every path but ``/missing``, as its fields say; notes the ranges it was asked for."""

    content = CONTENT
    tag = '"one"'
    break_after: int | None = None
    breaks = 0
    ranges = True
    failures = 0

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str | None] = []

    @property
    def url(self) -> str:
        """An address on this server."""
        return f"http://127.0.0.1:{self.server_port}/file.zip"


class Handler(BaseHTTPRequestHandler):
    """Answers GET with the whole file or the range asked for."""

    server: Server

    def do_GET(self) -> None:
        """Answer one request."""
        asked = self.headers.get("Range")
        self.server.asked.append(asked)
        if self.path == "/missing":
            self.send_error(404)
        elif self.server.failures > 0:
            self.server.failures -= 1
            self.send_error(503)
        else:
            self._send(asked)

    def _send(self, asked: str | None) -> None:
        content = self.server.content
        fresh = self.headers.get("If-Range") in (None, self.server.tag)
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and fresh and self.server.ranges else 0
        if start >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if self.server.tag:
            self.send_header("ETag", self.server.tag)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        end = len(content)
        if self.server.break_after is not None and self.server.breaks > 0:
            self.server.breaks -= 1
            end = start + self.server.break_after
        self.wfile.write(content[start:end])

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    """A running server."""
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    """An HTTP client that trusts no proxy settings of the machine it runs on."""
    with httpx.Client(timeout=60, trust_env=False) as opened:
        yield opened


def test_a_file_arrives_whole(server, client, tmp_path):
    """The file is as served, progress ends at its size, and nothing else is left behind."""
    told = []
    download(client, server.url, tmp_path / "a.zip", lambda done, total: told.append((done, total)), QUICK)
    assert (tmp_path / "a.zip").read_bytes() == CONTENT
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


def test_a_broken_transfer_goes_on_where_it_broke(server, client, tmp_path):
    """What arrived is not asked for again."""
    server.break_after, server.breaks = 100_000, 2
    download(client, server.url, tmp_path / "a.zip", patience=QUICK)
    assert (tmp_path / "a.zip").read_bytes() == CONTENT
    assert server.asked == [None, "bytes=100000-", "bytes=200000-"]


def test_another_process_goes_on_too(server, client, tmp_path):
    """A download given up is resumed by the next call."""
    server.break_after, server.breaks, server.failures = 50_000, 1, 0
    with pytest.raises(ServerGone):
        download(client, server.url, tmp_path / "a.zip", patience=Patience(attempts=1, pause=0.0))
    assert (tmp_path / "a.zip.part").stat().st_size == 50_000
    download(client, server.url, tmp_path / "a.zip", patience=QUICK)
    assert server.asked[-1] == "bytes=50000-"
    assert (tmp_path / "a.zip").read_bytes() == CONTENT


@pytest.mark.parametrize("tag", ['"two"', ""])
def test_a_file_that_changed_is_begun_again(server, client, tmp_path, tag):
    """Parts of two versions are never joined, nor of a file whose version is not told."""
    server.break_after, server.breaks = 50_000, 1
    server.tag = '"one"' if tag else ""
    with pytest.raises(ServerGone):
        download(client, server.url, tmp_path / "a.zip", patience=Patience(attempts=1, pause=0.0))
    server.tag, server.content = tag, CONTENT[::-1]
    download(client, server.url, tmp_path / "a.zip", patience=QUICK)
    assert (tmp_path / "a.zip").read_bytes() == CONTENT[::-1]


def test_a_server_without_ranges_is_begun_again(server, client, tmp_path):
    """A server that ignores the range sends everything, and that is taken."""
    server.break_after, server.breaks, server.ranges = 50_000, 1, False
    download(client, server.url, tmp_path / "a.zip", patience=QUICK)
    assert (tmp_path / "a.zip").read_bytes() == CONTENT


@pytest.mark.parametrize("surplus", [b"", b"more"])
def test_nothing_left_to_send_means_whole_or_foreign(server, client, tmp_path, surplus):
    """Asked for bytes beyond the end, a server refuses: the part is whole, or too long and begun again."""
    (tmp_path / "a.zip.part").write_bytes(CONTENT + surplus)
    (tmp_path / "a.zip.version").write_text(server.tag)
    download(client, server.url, tmp_path / "a.zip", patience=QUICK)
    assert (tmp_path / "a.zip").read_bytes() == CONTENT


def test_a_busy_server_is_asked_again(server, client, tmp_path):
    """Server errors are waited out, a few times."""
    server.failures = 2
    download(client, server.url, tmp_path / "a.zip", patience=QUICK)
    assert (tmp_path / "a.zip").read_bytes() == CONTENT
    server.failures = 3
    with pytest.raises(ServerGone, match="after 3 attempts"):
        download(client, server.url, tmp_path / "b.zip", patience=QUICK)


def test_a_missing_file_is_not_asked_for_twice(server, client, tmp_path):
    """A refusal is final and names the address."""
    with pytest.raises(NotFound, match="/missing: the server answers 404"):
        download(client, server.url.replace("/file.zip", "/missing"), tmp_path / "a.zip", patience=QUICK)
    assert server.asked == [None]


def test_nobody_there_is_an_error_that_says_so(client, tmp_path):
    """Without a server the attempts end."""
    with pytest.raises(ServerGone, match="gave up"):
        download(client, "http://127.0.0.1:9/a.zip", tmp_path / "a.zip", patience=QUICK)
