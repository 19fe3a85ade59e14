"""The live view's page as files: whole, of this server alone, and under a policy that keeps it so."""

from __future__ import annotations

import re
from importlib.resources import files

import httpx
import pytest

from quadfollow_core.overlay import PERSON_COLOUR, TARGET_COLOUR
from quadfollow_server.running import RunningServer

WEB = files("quadfollow_server") / "web"
SOURCES = {file.name: file.read_text() for file in WEB.iterdir()}


@pytest.fixture
def http(server: RunningServer) -> httpx.Client:
    """A client of the shared server."""
    return httpx.Client(base_url=server.url, timeout=30)


def test_the_page_is_served_under_a_strict_policy(http: httpx.Client) -> None:
    """The index is HTML, and may load and connect to nothing but this server."""
    with http:
        answer = http.get("/")
        policy = answer.headers["content-security-policy"]
        assert answer.headers["content-type"].startswith("text/html")
        assert "default-src 'none'" in policy
        assert not re.search("unsafe|blob:|data:|http", policy)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.text == SOURCES["index.html"]
        assert http.get("/", headers={"if-none-match": answer.headers["etag"]}).status_code == 304


def test_every_file_the_page_names_is_there(http: httpx.Client) -> None:
    """Each reference of the index and each import of a module is served with its type."""
    named = set(re.findall(r'(?:href|src)="web/([^"]+)"', SOURCES["index.html"]))
    named |= {name for text in SOURCES.values() for name in re.findall(r'from "\./([^"]+)"', text)}
    assert named == set(SOURCES) - {"index.html"}
    types = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
    with http:
        for name in named:
            assert http.get(f"/web/{name}").headers["content-type"].startswith(types[name.rpartition(".")[2]])
        for name in ("nothing.js", "..%2fpage.py", "%2e%2e/page.py"):
            assert http.get(f"/web/{name}").status_code == 404
        assert http.get("/segment").status_code == 405


def test_nothing_is_inline_and_nothing_comes_from_elsewhere() -> None:
    """No inline script or style, and no address of another host."""
    index = SOURCES["index.html"]
    assert not re.search(r"\sstyle=|\son[a-z]+=|<style|<script(?![^>]*src=)", index)
    addresses = {address for text in SOURCES.values() for address in re.findall(r"https?://[^\s\"'`$]+", text)}
    assert addresses == {"http://www.w3.org/2000/svg"}


def test_the_page_has_the_colours_of_the_overlay() -> None:
    """Browser and server draw target and people alike."""
    colours = dict(re.findall(r"--(target|person): #([0-9a-f]{6})", SOURCES["style.css"]))
    assert {name: tuple(bytes.fromhex(value)) for name, value in colours.items()} == {
        "target": TARGET_COLOUR,
        "person": PERSON_COLOUR,
    }
