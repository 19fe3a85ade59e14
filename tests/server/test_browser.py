"""The live view's page in a real Chromium, at the end of a WebSocket that is in the test's hand."""

from __future__ import annotations

import json
import re
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Browser, Page, Route, WebSocketRoute, expect
from tests.closed_loop.live_view import conftest as browsing
from tests.server.conftest import PATIENCE

from quadfollow_core.codec import decode_image, encode_png
from quadfollow_core.request import Result, parse_request
from quadfollow_server.access import Access
from quadfollow_server.keys import new_client, revoke_client
from quadfollow_server.preview import Preview
from quadfollow_server.running import ANY_PORTS, RunningServer

pytestmark = pytest.mark.slow
chromium = browsing.chromium
OF_STREAM = ("state", "age", "place", "confidence", "rate", "dropped", "shown", "latency", "picture-age")
CAMERA = {
    **{"fx": 100, "fy": 100, "cx": 64, "cy": 48},
    "pose": {"position": [0.0, 1.0, 2.0], "quaternion": [0.0, 0.0, 0.0, 1.0]},
}
LONGER_THAN_SILENT, LONGER_THAN_ANY_WAIT = 4_000, 70_000
"""Milliseconds of the page's own clock, which is in the test's hand too and stands still unless put forward."""
expect.set_options(timeout=1000 * PATIENCE)


class Door:
    """The server's end of a page's WebSocket: gives each question the next answer, and none while there is none."""

    def __init__(self, page: Page, body: dict[str, Any], png: bytes) -> None:
        self.connections = 0
        self._page = page
        self._body, self._png = body, png
        self._socket: WebSocketRoute | None = None
        self._questions, self._answers = 0, deque[bytes | str]()
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
        while not self._questions or self.connections < connections:
            assert time.monotonic() < end, "the page asks for nothing"
            self._page.clock.run_for(20)

    def close(self, code: int, reason: str) -> None:
        """End the connection."""
        assert self._socket is not None
        self._socket.close(code=code, reason=reason)

    def _open(self, socket: WebSocketRoute) -> None:
        self._socket, self._questions = socket, 0
        self.connections += 1
        socket.on_message(self._asked)

    def _asked(self, _: str | bytes) -> None:
        self._questions += 1
        self._settle()

    def _give(self, answer: bytes | str) -> None:
        if self.connections:
            self.wait_asked()
        self._answers.append(answer)
        self._settle()

    def _settle(self) -> None:
        while self._questions and self._answers:
            assert self._socket is not None
            self._questions -= 1
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


def without_end(png: bytes) -> bytes:
    """A PNG without its last chunk."""
    return png[:-12]


def with_wrong_checksum(png: bytes) -> bytes:
    """A PNG whose pixels' checksum is wrong."""
    at = png.index(b"IDAT") - 4
    end = at + 8 + int.from_bytes(png[at : at + 4], "big")
    return png[:end] + bytes(4) + png[end + 4 :]


@pytest.mark.parametrize("damage", [without_end, with_wrong_checksum])
def test_a_picture_that_only_the_server_can_read_is_not_the_end(
    page: Page, door: Door, visit: Callable[..., None], png: bytes, damage: Callable[[bytes], bytes]
) -> None:
    """The page says so, shows what was found, and goes on."""
    assert decode_image(damage(png)).shape == (96, 128, 3)
    shown = door.show(picture=damage(png))
    visit()
    expect(page.locator("#status")).to_have_text("Live: front. This browser cannot read its pictures.")
    shows(page, shown)
    shows(page, door.show())
    expect(page.locator("#status")).to_have_text("Live: front")


def test_a_fault_in_drawing_is_not_the_end(
    page: Page, door: Door, visit: Callable[..., None], complaints: list[str]
) -> None:
    """It is complained about, and the next picture is asked for and drawn."""
    page.add_init_script(
        """const { drawImage } = CanvasRenderingContext2D.prototype;
        CanvasRenderingContext2D.prototype.drawImage = function () {
          CanvasRenderingContext2D.prototype.drawImage = drawImage;
          throw new Error("planted");
        };"""
    )
    door.show()
    visit()
    shows(page, door.show())
    assert complaints == ["planted"]
    complaints.clear()


@pytest.mark.parametrize("status", [401, 503])
def test_a_server_that_does_not_say_what_it_is_is_shown_nonetheless(
    page: Page, door: Door, visit: Callable[..., None], status: int
) -> None:
    """A refusal is not taken for what the server is."""
    page.route("**/info", lambda route: route.fulfill(status=status, json={"title": "no", "detail": "no"}))
    door.show()
    visit()
    shows(page, door.show())


def test_a_line_may_be_slow(page: Page, door: Door, visit: Callable[..., None]) -> None:
    """The page says that it waits, and takes what comes late; what never comes it gives up, and connects anew."""
    shown = door.show()
    visit()
    shows(page, shown)
    door.wait_asked()
    page.clock.fast_forward(10_000)
    expect(page.locator("#status")).to_have_text("Waiting for the next picture")
    is_told_nothing(page)
    shows(page, door.show())
    door.wait_asked()
    assert door.connections == 1
    page.clock.fast_forward(LONGER_THAN_ANY_WAIT)
    door.wait_asked(connections=2)
    shows(page, door.show())


@pytest.mark.parametrize(
    ("code", "reason", "said"),
    [
        (1012, "", "The server is not there; trying again"),
        (1008, "the key was revoked", "the key was revoked; trying again"),
    ],
)
def test_what_the_server_left_behind_fades(
    page: Page, door: Door, visit: Callable[..., None], code: int, reason: str, said: str
) -> None:
    """Once the connection has ended nothing on show looks as if it were so now, and the page says why."""
    shown = door.show()
    visit()
    shows(page, shown)
    door.close(code, reason)
    expect(page.locator("#status")).to_have_text(said)
    expect(page.locator("main")).to_have_attribute("data-stale", "")
    is_told_nothing(page)


def test_a_stream_that_ends_fades_until_it_goes_on(page: Page, door: Door, visit: Callable[..., None]) -> None:
    """Picture and map are dimmed and are spoken of as old, the figures are gone; with the next picture all is back."""
    shown = door.show()
    visit()
    shows(page, shown)
    expect(page.locator("#state")).to_have_text(re.compile("following|searching"))
    page.clock.fast_forward(LONGER_THAN_SILENT)
    door.say("front", "rear")
    expect(page.locator("#status")).to_have_text("No new frames from front")
    is_told_nothing(page)
    for canvas, name in (("picture", "No new picture"), ("map", "No new place")):
        expect(page.locator(f"#{canvas}")).to_have_css("opacity", "0.35")
        expect(page.locator(f"#{canvas}")).to_have_attribute("aria-label", name)
    shows(page, door.show())
    expect(page.locator("#picture")).to_have_css("opacity", "1")
    expect(page.locator("#picture")).to_have_attribute("aria-label", re.compile("^Camera front"))
    expect(page.locator("#status")).to_have_text("Live: front")


def test_another_stream_begins_with_nothing_of_the_last_one(page: Page, door: Door, visit: Callable[..., None]) -> None:
    """Canvases, figures and spoken names are empty until its first picture comes."""
    shown = door.show()
    visit()
    shows(page, shown)
    assert ink(page, "picture") > 0
    page.locator("#stream").select_option("rear")
    expect(page.locator("#status")).to_have_text("Waiting for rear")
    expect(page.locator("#empty")).to_be_visible()
    is_told_nothing(page)
    assert [ink(page, canvas) for canvas in ("picture", "map", "states", "latency-line", "age-line")] == [0] * 5
    expect(page.locator("#picture")).to_have_attribute("aria-label", "No picture yet")
    expect(page.locator("#map")).to_have_attribute("aria-label", "No place known yet")
    page.clock.fast_forward(LONGER_THAN_SILENT)
    door.say("front", "rear")
    expect(page.locator("#status")).to_have_text("No new frames from rear")
    shows(page, door.show("rear"))
    expect(page.locator("#status")).to_have_text("Live: rear")


@pytest.mark.parametrize(
    ("query", "streams", "said"),
    [
        ("", (), "Connected; no stream sends frames yet"),
        ("", ("front",), "No new frames from any stream"),
        ("?stream=typo", ("front",), "No stream typo sends frames"),
        ("?stream=front", ("front",), "No new frames from front"),
    ],
)
def test_the_page_says_what_is_missing(
    page: Page, door: Door, visit: Callable[..., None], query: str, streams: tuple[str, ...], said: str
) -> None:
    """No stream at all, none of this name, or no picture of it."""
    visit(query)
    expect(page.locator("#status")).to_have_text("Connected")
    page.clock.fast_forward(LONGER_THAN_SILENT)
    door.say(*streams)
    expect(page.locator("#status")).to_have_text(said)


GRID = """async (places) => {
  const { drawMap } = await import("/web/map.js");
  const lines = [];
  const { moveTo } = CanvasRenderingContext2D.prototype;
  CanvasRenderingContext2D.prototype.moveTo = (x, y) => lines.push(`${Math.round(x)} ${Math.round(y)}`);
  const moments = places.map((drone) => ({ drone, estimate: null, truth: null }));
  drawMap(document.getElementById("map"), moments, null);
  CanvasRenderingContext2D.prototype.moveTo = moveTo;
  return lines;
}"""


def test_the_map_is_drawn_wherever_the_drone_says_it_is(page: Page, visit: Callable[..., None]) -> None:
    """The grid is the same a thousand metres on, and has an end however far away it is."""
    visit()
    here = page.evaluate(GRID, [[3, 4, 0]])
    assert len(here) > 8
    assert page.evaluate(GRID, [[1003, -996, 0]]) == here
    for far in (1e16, -1e17, 1e300, 1.7e308):
        assert len(page.evaluate(GRID, [[far, far, 0]])) < 100
        assert len(page.evaluate(GRID, [[far, 0, 0], [-far, 0, 0]])) < 100


AGES = """async ({ drift, seconds, late }) => {
  const { History } = await import("/web/history.js");
  const history = new History();
  const ages = [];
  for (let at = 0; at < seconds; at += 1) {
    performance.now = () => 1000 * at * (1 + drift) + (at === seconds - 1 ? late : 0);
    const result = { track: null, target: null, dropped: 0, held_ms: 10 };
    ages.push(history.add({ number: at, answered_at: at, camera: null, truth: null, result }).age);
  }
  return ages;
}"""


def test_clocks_that_drift_apart_do_not_age_a_picture(page: Page, visit: Callable[..., None]) -> None:
    """A tenth of a per cent is 30 ms of the 30 s that are remembered, and a late picture still counts as such."""
    visit()
    ages = page.evaluate(AGES, {"drift": 0.001, "seconds": 600, "late": 200})
    assert max(ages[:-1]) < 10 + 31
    assert 210 <= ages[-1] < 210 + 31


def test_the_verdict_is_that_of_the_image_tried_last(
    page: Page, visit: Callable[..., None], picture: NDArray[np.uint8]
) -> None:
    """An answer that comes late does not replace it, and no image stays in memory."""
    page.add_init_script(
        """let freed = 0;
        const { close } = ImageBitmap.prototype;
        ImageBitmap.prototype.close = function () {
          document.documentElement.dataset.freed = freed += 1;
          close.call(this);
        };"""
    )
    held: list[Route] = []
    page.route("**/segment?*", lambda route: route.continue_() if held else held.append(route))
    visit()
    for name, pixels in (("target.png", picture), ("nobody.png", np.full_like(picture, 110))):
        with page.expect_request("**/segment?*"):
            file: Any = {"name": name, "mimeType": "image/png", "buffer": encode_png(pixels)}
            page.locator("#file").set_input_files(file)
    expect(page.locator("#verdict")).to_have_text(re.compile("^No target"))
    held[0].continue_()
    expect(page.locator("html")).to_have_attribute("data-freed", "2")
    expect(page.locator("#verdict")).to_have_text(re.compile("^No target"))
    expect(page.locator("#tried")).to_have_attribute("aria-label", re.compile("^nobody.png"))


def test_a_page_finds_back_through_the_login_form(page: Page, tmp_path: Path, constant: Callable[..., Any]) -> None:
    """To the stream that it was asked for, also when its key was exchanged under it; and to no other site."""
    key = new_client(tmp_path / "keys", "drone")
    settings = replace(ANY_PORTS, access=Access(keys=str(tmp_path / "keys")))
    with ExitStack() as stack:
        first = stack.enter_context(RunningServer(settings, [constant()]))
        elsewhere = httpx.get(f"{first.url}//evil.example/?a=1", headers={"accept": "text/html"})
        assert 'name="next" type="hidden" value="/"' in elsewhere.text
        ports, address = first.service.ports, f"{first.url}/?stream=the%20front&a=%22"
        again = replace(settings, port=ports.http, zmq_port=ports.zmq, pub_port=ports.pub)
        page.clock.resume()
        page.goto(address)
        for _ in range(2):
            page.get_by_label("API key").fill(key.api_key)
            page.get_by_role("button").click()
            expect(page.locator("#status")).to_have_text(re.compile("Connected|No stream the front"))
            assert page.url == address
            stack.close()
            revoke_client(tmp_path / "keys", "drone")
            key = new_client(tmp_path / "keys", "drone")
            stack.enter_context(RunningServer(again, [constant()]))
