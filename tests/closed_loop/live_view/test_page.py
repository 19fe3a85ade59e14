"""The live view in a real Chromium, looking at a real server on real streams."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Locator, Page, expect
from tests.closed_loop.conftest import served
from tests.closed_loop.live_view.conftest import PHONE, Open, streaming

from quadfollow_core.codec import decode_image
from quadfollow_core.overlay import PERSON_COLOUR, TARGET_COLOUR
from quadfollow_core.shipped import find_model
from quadfollow_server.running import RunningServer
from quadfollow_sim.world import Observation

pytestmark = pytest.mark.slow

CONTROLS = ("stream", "pause", "theme", "stage", "opacity", "full", "file", "curl")
VISIONS = ("none", "deuteranopia", "protanopia", "tritanopia", "achromatopsia")


@pytest.fixture(scope="module")
def streams(server: RunningServer, walk: list[Observation]) -> Iterator[None]:
    """Two cameras that stream to the server."""
    with streaming(server.address, walk, "front", "rear"):
        yield


def live(page: Page, stream: str) -> None:
    """Wait until a page shows a stream."""
    expect(page.locator("#status")).to_have_text(f"Live: {stream}")


def look_at(page: Page, stream: str) -> None:
    """Choose a stream, as soon as it can be, and wait until it is shown."""
    expect(page.locator(f"#stream option[value='{stream}']")).to_be_attached()
    page.locator("#stream").select_option(stream)
    live(page, stream)


def pixels(part: Locator) -> NDArray[np.uint8]:
    """What a part of the page looks like now."""
    return decode_image(part.screenshot())


def near(picture: NDArray[np.uint8], colour: tuple[int, int, int]) -> int:
    """How many pixels have just about this colour."""
    return int((np.abs(picture.astype(int) - colour).max(axis=2) < 12).sum())


def spoken_pixel(page: Page) -> tuple[int, ...]:
    """Where the page says that the target is in the picture."""
    label = page.locator("#picture")
    expect(label).to_have_attribute("aria-label", re.compile(r"target at pixel \d+, \d+, "))
    return tuple(map(int, re.findall(r"\d+", str(label.get_attribute("aria-label")))))


def drawn(page: Page) -> NDArray[np.uint8]:
    """The pixels of the camera's canvas."""
    return decode_image(b64decode(page.locator("#picture").evaluate("canvas => canvas.toDataURL()").partition(",")[2]))


def look_on(page: Page, server: RunningServer) -> None:
    """Let a page go on until the server has answered some frames more of each of two streams."""

    def answered() -> float:
        told = httpx.get(f"{server.url}/metrics").text
        return sum(map(float, re.findall(r'^quadfollow_frames_total\{.*outcome="result"\} (\S+)$', told, re.MULTILINE)))

    before = answered()
    while answered() < before + 12:
        page.wait_for_timeout(50)


def swatch(page: Page, name: str) -> NDArray[np.float64]:
    """The legend's colour of a class."""
    return np.median(pixels(page.locator(f".camera .swatch.{name}")).reshape(-1, 3), axis=0)


def test_a_moving_target_is_shown(server: RunningServer, streams: None, visit: Open) -> None:
    """Picture, box, map, track and figures are there and go on; where the target is, changes."""
    page = visit(server.url)
    look_at(page, "front")
    expect(page.locator("#state")).to_have_text(re.compile("following|coasting"))
    first = spoken_pixel(page)
    expect(page.locator("#picture")).not_to_have_attribute("aria-label", re.compile(f"pixel {first[0]}, {first[1]}, "))
    expect(page.locator("#map")).to_have_attribute("aria-label", re.compile("drone at .*target at .*truth at"))
    assert near(drawn(page), TARGET_COLOUR) > 100
    for figure in ("rate", "shown", "latency", "picture-age", "place", "distance", "error"):
        expect(page.locator(f"#{figure}")).to_have_text(re.compile(r"\d"))
    expect(page.locator("#model")).to_have_text(re.compile("follow-256.*256 × 256"))
    expect(page.locator("#device")).to_have_text("CPU")
    for chart in ("latency-line", "age-line", "states"):
        assert len(np.unique(pixels(page.locator(f"#{chart}")))) > 3


def test_pause_stream_size_and_opacity(server: RunningServer, streams: None, visit: Open) -> None:
    """A paused picture stands still; another stream, full resolution and the mask's opacity can be chosen."""
    page = visit(server.url)
    look_at(page, "rear")
    moving = drawn(page)
    look_on(page, server)
    assert not np.array_equal(moving, drawn(page)), "control"
    page.locator("#pause").click()
    expect(page.locator("#status")).to_have_text("Paused")
    opaque = drawn(page)
    look_on(page, server)
    assert np.array_equal(opaque, drawn(page))
    page.locator("#opacity").fill("0")
    clear = drawn(page)
    assert opaque.shape == clear.shape
    assert np.any(opaque != clear)
    page.locator("#full").check()
    assert drawn(page).shape == (256, 256, 3)
    page.locator("#pause").click()
    live(page, "rear")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_all_of_it(server: RunningServer, streams: None, visit: Open, scheme: str) -> None:
    """Nothing is wider than the screen; colours are the system's until others are chosen, which then stay."""
    page = visit(server.url, viewport=PHONE, color_scheme=scheme)
    look_at(page, "rear")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert (pixels(page.locator("header")).mean() > 128) == (scheme == "light")
    page.locator("#theme").select_option({"light": "dark", "dark": "light"}[scheme])
    page.reload()
    live(page, "rear")
    assert (pixels(page.locator("header")).mean() > 128) == (scheme == "dark")


def test_the_keyboard_reaches_every_control(server: RunningServer, streams: None, visit: Open) -> None:
    """Tab passes by all of them, and space presses."""
    page = visit(server.url)
    look_at(page, "front")
    page.locator("#stream").focus()
    reached = ["stream"]
    while reached[-1] != "zeromq":
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id"))
        if reached[-1] == "pause":
            page.keyboard.press("Space")
    expect(page.locator("#pause")).to_have_attribute("aria-pressed", "true")
    assert [name for name in CONTROLS if name not in reached] == []


def test_every_eye_tells_the_classes_apart(server: RunningServer, visit: Open) -> None:
    """Target and person differ clearly with every kind of colour vision, as Chromium imitates it."""
    page = visit(server.url)
    assert np.allclose(swatch(page, "person"), PERSON_COLOUR, atol=3)
    browser = page.context.new_cdp_session(page)
    for vision in VISIONS:
        browser.send("Emulation.setEmulatedVisionDeficiency", {"type": vision})
        assert np.abs(swatch(page, "target") - swatch(page, "person")).max() > 40, vision


def test_an_image_can_be_chosen_or_dropped(
    server: RunningServer, walk: list[Observation], visit: Open, tmp_path: Path
) -> None:
    """It is answered and drawn; what is no image is refused in words."""
    page, verdict = visit(server.url), "#verdict"
    jpeg = walk[5].image
    assert isinstance(jpeg, bytes)
    page.locator("#file").set_input_files({"name": "a.jpg", "mimeType": "image/jpeg", "buffer": jpeg})
    expect(page.locator(verdict)).to_have_text(re.compile(r"Target at \d+, \d+, \d+ % sure.* follow-256 in "))
    assert near(pixels(page.locator("#tried")), TARGET_COLOUR) > 30
    drop = """(zone, text) => { const data = new DataTransfer();
              data.items.add(new File([text], "b.txt", {type: "text/plain"}));
              zone.dispatchEvent(new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true})); }"""
    page.locator("#drop").evaluate(drop, "no image")
    expect(page.locator(verdict)).to_have_text(re.compile("neither JPEG, PNG nor WebP"))
    expect(page.locator("#tried")).to_be_hidden()


@pytest.mark.parametrize("name", ["curl", "python", "zeromq"])
def test_the_snippets_run_as_they_stand(
    server: RunningServer, walk: list[Observation], visit: Open, tmp_path: Path, name: str
) -> None:
    """Copied from the page, each finds the target in a frame."""
    if name == "curl" and shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    page = visit(server.url)
    expect(page.locator(f"#{name}")).to_contain_text("127.0.0.1")
    text = str(page.locator(f"#{name}").text_content())
    image = walk[5].image
    assert isinstance(image, bytes)
    (tmp_path / "frame.jpg").write_bytes(image)
    command: Any = ["bash", "-c", text] if name == "curl" else [sys.executable, "-c", text]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=200, check=True)
    assert "centroid" in done.stdout


def test_the_page_survives_a_restart_of_the_server(walk: list[Observation], visit: Open) -> None:
    """It says that the server is gone, and goes on by itself when there is one again."""
    settings = served(find_model())
    with RunningServer(settings) as first:
        ports = first.service.ports
        again = replace(settings, port=ports.http, zmq_port=ports.zmq, pub_port=ports.pub)
        page, address = visit(first.url), first.address
        with streaming(address, walk, "front"):
            live(page, "front")
    expect(page.locator("#status")).to_have_text("The server is not there; trying again")
    with RunningServer(again), streaming(address, walk, "front"):
        live(page, "front")
        expect(page.locator("#shown")).to_have_text(re.compile("[1-9].* per second"))


@pytest.mark.slow
def test_twenty_pages_look_on_at_once(walk: list[Observation], visit: Open) -> None:
    """All are shown the stream, no frame of which goes unanswered for it, and the 21st is told that all is taken."""
    with RunningServer(replace(served(find_model()), max_viewers=20)) as server:
        with streaming(server.address, walk, "front", rate=5.0) as outcomes:
            pages = [visit(server.url, viewport={"width": 320, "height": 320}) for _ in range(20)]
            for page in pages:
                live(page, "front")
            assert httpx.get(f"{server.url}/info").json()["viewers"] == 20
            expect(visit(server.url).locator("#status")).to_have_text(re.compile("all 20 places .* are taken"))
            before = len(outcomes)
            for page in pages:
                expect(page.locator("#shown")).to_have_text(re.compile("[1-9].* per second"))
        assert len(outcomes) > before
        assert set(outcomes) <= {"result", "unsent"}
