"""The live view's page in a real Chromium: what comes, what does not, and what is chosen."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Page, Route, expect
from tests.server import page_door
from tests.server.conftest import PATIENCE, has_ipv6
from tests.server.page_door import Door, ink, is_told_nothing, shows

from quadfollow_core.codec import decode_image, encode_jpeg, encode_png
from quadfollow_server.access import Access
from quadfollow_server.keys import new_client, revoke_client
from quadfollow_server.running import ANY_PORTS, RunningServer

pytestmark = pytest.mark.slow
chromium, complaints, page = page_door.chromium, page_door.complaints, page_door.page
door, visit = page_door.door, page_door.visit
LONGER_THAN_SILENT, LONGER_THAN_ANY_WAIT = 4_000, 70_000
"""Milliseconds of the page's own clock, which is in the test's hand too and stands still unless put forward."""


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


HOLD = """(name) => {
  const own = window[name];
  const held = [];
  window[name] = async (...given) => {
    const value = name === "createImageBitmap" ? await own(...given) : null;
    await new Promise((let_go) => held.push(let_go));
    if (name === "requestAnimationFrame") given[0]();
    return value;
  };
  window.letGo = () => held.splice(0).forEach((let_go) => let_go());
}"""
"""Has a function of the browser wait: for a slow decoder, and for a tab that nobody sees."""


def hold(page: Page, name: str) -> None:
    """Hold what a page about to be loaded asks of its browser, until it is told to let go."""
    page.add_init_script(f"({HOLD})('{name}')")


def test_a_connection_made_while_nobody_looked_has_one_question_out(
    page: Page, door: Door, visit: Callable[..., None]
) -> None:
    """What was drawn last of the connection before it asks nothing of this one."""
    hold(page, "requestAnimationFrame")
    shown = door.show()
    visit()
    shows(page, shown)
    door.close(1012, "")
    door.wait_asked(connections=2)
    shows(page, door.show())
    page.evaluate("letGo()")
    door.wait_asked()
    page.evaluate("letGo()")
    assert door.questions == 1


def test_a_picture_decoded_after_the_server_has_gone_is_not_shown_as_live(
    page: Page, door: Door, visit: Callable[..., None]
) -> None:
    """The page goes on saying that the server is gone."""
    hold(page, "createImageBitmap")
    door.show()
    visit()
    expect(page.locator("#status")).to_have_text("Connected")
    door.close(1012, "")
    expect(page.locator("#status")).to_have_text("The server is not there; trying again")
    page.evaluate("letGo()")
    expect(page.locator("#status")).to_have_text("The server is not there; trying again")
    expect(page.locator("#empty")).to_be_visible()


def test_the_pause_button_does_not_say_that_a_server_is_there(
    page: Page, door: Door, visit: Callable[..., None]
) -> None:
    """While there is no connection the page goes on saying so; once there is one again, that it is paused."""
    shown = door.show()
    visit()
    shows(page, shown)
    door.close(1012, "")
    gone = page.locator("#status")
    expect(gone).to_have_text("The server is not there; trying again")
    for pressed in ("true", "false", "true"):
        page.locator("#pause").click()
        expect(page.locator("#pause")).to_have_attribute("aria-pressed", pressed)
        expect(gone).to_have_text("The server is not there; trying again")
    page.clock.run_for(LONGER_THAN_SILENT)
    expect(gone).to_have_text("Paused")


def test_what_is_on_show_stays_when_it_is_drawn_again_after_a_reconnection(
    page: Page, door: Door, visit: Callable[..., None]
) -> None:
    """Map and trails are those of the picture, until the next one comes."""
    shown = door.show()
    visit()
    shows(page, shown)
    before = ink(page, "map")
    door.close(1012, "")
    door.wait_asked(connections=2)
    expect(page.locator("#status")).to_have_text("Connected")
    page.locator("#opacity").fill("40")
    assert ink(page, "map") == before


def test_the_first_stream_of_the_list_can_be_chosen_before_any_sends(
    page: Page, door: Door, visit: Callable[..., None]
) -> None:
    """Nothing is chosen until something is, and an empty name in the address is none."""
    visit("?stream=")
    page.clock.fast_forward(LONGER_THAN_SILENT)
    door.say("front", "rear")
    expect(page.locator("#status")).to_have_text("No new frames from any stream")
    expect(page.locator("#stream")).to_have_value("")
    page.locator("#stream").focus()
    page.keyboard.press("ArrowDown")
    expect(page.locator("#status")).to_have_text("Waiting for front")
    shows(page, door.show())


def test_the_model_to_try_stays_chosen_when_the_server_comes_back(
    page: Page, door: Door, visit: Callable[..., None], server: RunningServer
) -> None:
    """What the server is, is asked anew, and what was picked is picked still."""
    visit()
    page.locator("#try-model").select_option("small")
    info = httpx.get(f"{server.url}/info", timeout=PATIENCE).json()
    info["models"][0]["device"]["reason"] = "told anew"
    page.route("**/info", lambda route: route.fulfill(json=info))
    door.close(1012, "")
    door.wait_asked(connections=2)
    expect(page.locator("#reason")).to_have_text("told anew")
    expect(page.locator("#try-model")).to_have_value("small")


def test_an_image_that_only_the_server_can_read_gets_its_verdict(
    page: Page, visit: Callable[..., None], png: bytes
) -> None:
    """What was found is told and drawn."""
    visit()
    file: Any = {"name": "cut.png", "mimeType": "image/png", "buffer": with_wrong_checksum(png)}
    page.locator("#file").set_input_files(file)
    expect(page.locator("#verdict")).to_have_text(re.compile("^Target at .*This browser cannot read the image.$"))
    assert ink(page, "tried") > 0


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


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")
def test_the_zeromq_snippet_reaches_a_server_by_its_ipv6_address(
    page: Page, tmp_path: Path, constant: Callable[..., Any], picture: NDArray[np.uint8]
) -> None:
    """Sockets of ZeroMQ do not speak IPv6 unless told to."""
    (tmp_path / "frame.jpg").write_bytes(encode_jpeg(picture))
    with RunningServer(replace(ANY_PORTS, host="::1"), [constant()]) as server:
        page.goto(f"http://[::1]:{server.service.ports.http}")
        expect(page.locator("#zeromq")).to_contain_text("tcp://[::1]:")
        program = str(page.locator("#zeromq").text_content())
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE, check=True)
        assert "centroid" in done.stdout
