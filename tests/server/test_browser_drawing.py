"""What the live view's page draws, and in which size, in a real Chromium."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, Page, expect
from tests.closed_loop.live_view.conftest import PHONE
from tests.server import page_door
from tests.server.page_door import Door, shows

from quadfollow_server.running import RunningServer

pytestmark = pytest.mark.slow
chromium, complaints, page = page_door.chromium, page_door.complaints, page_door.page
door, visit = page_door.door, page_door.visit

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


STATES = """async (times) => {
  const { drawStates } = await import("/web/charts.js");
  const canvas = document.getElementById("states");
  drawStates(canvas, times.map((time) => ({ time, state: "following" })), 30);
  const { data, width } = canvas.getContext("2d").getImageData(0, 1, canvas.width, 1);
  const at = (time) => data[4 * Math.floor(width * (1 - (times.at(-1) - time) / 30)) + 3] > 0;
  return Array.from({ length: 20 }, (_, second) => at(second + 0.5));
}"""


def test_no_state_is_shown_for_a_time_without_pictures(page: Page, visit: Callable[..., None]) -> None:
    """A stream that was away for ten seconds was not followed meanwhile, as far as is known."""
    visit()
    seconds = [second for second in range(21) if not 5 < second < 15]
    assert page.evaluate(STATES, seconds) == [not 8 <= second < 15 for second in range(20)]


EDGE = """async (side) => {
  const { drawPicture } = await import("/web/picture.js");
  const [canvas, stage] = ["picture", "stage"].map((id) => document.getElementById(id));
  const target = { box: [0.25 * side, 0.25 * side, 0.75 * side, 0.75 * side], centroid: [side / 2, side / 2] };
  const scale = Math.min(4, (devicePixelRatio * stage.clientWidth) / side);
  drawPicture(canvas, null, { frame: { width: side, height: side }, target }, { opacity: 0, scale });
  const row = canvas.getContext("2d").getImageData(0, Math.round(0.35 * canvas.height), canvas.width / 2, 1).data;
  const inked = row.reduce((sum, value, at) => sum + (at % 4 === 3 ? value / 255 : 0), 0);
  return (inked * canvas.clientWidth) / canvas.width;
}"""


@pytest.mark.parametrize("ratio", [1, 3])
def test_lines_are_as_thick_on_every_screen(chromium: Browser, server: RunningServer, ratio: float) -> None:
    """The target's box is four of the page's pixels thick, however fine the screen, however small the frame."""
    with chromium.new_context(viewport=PHONE, device_scale_factor=ratio) as context:
        page = context.new_page()
        page.goto(server.url)
        for side in (64, 160, 1600):
            assert page.evaluate(EDGE, side) == pytest.approx(4, abs=0.5), side


def test_a_long_name_does_not_widen_the_page(page: Page, door: Door, visit: Callable[..., None], png: bytes) -> None:
    """A stream's or a file's name without any place to break it fits on a phone."""
    page.set_viewport_size(PHONE)
    name = 128 * "m"
    shown = door.show(name, streams=(name,))
    visit()
    shows(page, shown)
    expect(page.locator("#status")).to_have_text(f"Live: {name}")
    page.locator("#file").set_input_files({"name": f"{name}.txt", "mimeType": "text/plain", "buffer": b"no image"})
    expect(page.locator("#verdict")).not_to_be_empty()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
