"""The live view's page in a real Chromium, at the end of a WebSocket that is in the test's hand."""

from __future__ import annotations

import json
import re
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, WebSocketRoute, expect
from tests.closed_loop.live_view import conftest as browsing
from tests.server.conftest import PATIENCE

from quadfollow_core.request import Result, parse_request
from quadfollow_server.preview import Preview
from quadfollow_server.running import RunningServer

OF_STREAM = ("state", "age", "place", "confidence", "rate", "dropped", "shown", "latency", "picture-age")
CAMERA = {
    **{"fx": 100, "fy": 100, "cx": 64, "cy": 48},
    "pose": {"position": [0.0, 1.0, 2.0], "quaternion": [0.0, 0.0, 0.0, 1.0]},
}
chromium = browsing.chromium


class Door:
    """The server's end of a page's WebSocket: gives each question the next answer, and none while there is none."""

    def __init__(self, page: Page, body: dict[str, Any], png: bytes) -> None:
        self.connections = 0
        self._page = page
        self._body, self._png = body, png
        self._socket: WebSocketRoute | None = None
        self.questions, self._answers = 0, deque[bytes | str]()
        self._number = 0
        page.route_web_socket(re.compile("/view$"), self._open)

    def show(self, stream: str = "front", *, picture: bytes = b"", streams: tuple[str, ...] = ("front", "rear")) -> str:
        """Answer with the next picture of a stream; return how a figure begins that this picture alone has."""
        self._number += 1
        request = parse_request({"stream": stream, "camera": CAMERA}, picture or self._png)
        result = Result(self._body | {"dropped": self._number})
        self._give(Preview(stream, self._number, float(self._number), request, result).message(streams))
        return f"{self._number}; "

    def say(self, *streams: str) -> None:
        """Answer that there is no new picture."""
        self._give(json.dumps({"streams": streams}))

    def wait_asked(self, connections: int = 1) -> None:
        """Let the page go on until it has made so many connections and its last question has no answer yet."""
        end = time.monotonic() + PATIENCE
        while not self.questions or self.connections < connections:
            assert time.monotonic() < end, "the page asks for nothing"
            self._page.clock.run_for(20)

    def close(self, code: int, reason: str) -> None:
        """End the connection."""
        assert self._socket is not None
        self._socket.close(code=code, reason=reason)

    def _open(self, socket: WebSocketRoute) -> None:
        self._socket, self.questions = socket, 0
        self.connections += 1
        socket.on_message(self._asked)

    def _asked(self, _: str | bytes) -> None:
        self.questions += 1
        self._settle()

    def _give(self, answer: bytes | str) -> None:
        if self.connections:
            self.wait_asked()
        self._answers.append(answer)
        self._settle()

    def _settle(self) -> None:
        while self.questions and self._answers:
            assert self._socket is not None
            self.questions -= 1
            self._socket.send(self._answers.popleft())


@pytest.fixture
def complaints() -> list[str]:
    """The errors of the page so far that nothing caught."""
    return []


@pytest.fixture
def page(chromium: Browser, complaints: list[str]) -> Iterator[Page]:
    """An empty page whose clock stands still; what it complains about ends the test, unless it was expected."""
    with chromium.new_context(viewport=browsing.DESK) as context:
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.clock.install(time=0)
        page.clock.pause_at(1)
        yield page
    assert complaints == []


@pytest.fixture
def door(page: Page, server: RunningServer, png: bytes) -> Door:
    """The server's end of the page's WebSocket."""
    posted = httpx.post(f"{server.url}/segment?stream=front&track=1", content=png, timeout=PATIENCE)
    return Door(page, posted.raise_for_status().json(), png)


@pytest.fixture
def visit(page: Page, door: Door, server: RunningServer) -> Callable[..., None]:
    """Load the page, and have it connect."""

    def go(query: str = "") -> None:
        page.goto(f"{server.url}/{query}")
        while not door.connections:
            page.wait_for_timeout(20)

    return go


def shows(page: Page, figure: str) -> None:
    """Wait until a page shows the picture of this figure, as it should a live one."""
    expect(page.locator("#dropped")).to_have_text(re.compile(f"^{figure}"))
    expect(page.locator("main")).not_to_have_attribute("data-stale", "")
    expect(page.locator("#empty")).to_be_hidden()


def is_told_nothing(page: Page) -> None:
    """Wait until none of a stream's figures is shown."""
    for figure in OF_STREAM:
        expect(page.locator(f"#{figure}")).to_have_text("–")
    expect(page.locator("#state")).to_have_attribute("data-state", "none")


def ink(page: Page, canvas: str) -> int:
    """How much is drawn on a canvas."""
    data = (
        "canvas => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.reduce((a, b) => a + b)"
    )
    return int(page.locator(f"#{canvas}").evaluate(data))
