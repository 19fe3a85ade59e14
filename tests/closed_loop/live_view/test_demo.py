"""`make demo VIEW=1` as a newcomer meets it, and the documentation's pictures of the page.

``QUADFOLLOW_SCREENSHOTS=docs/img pytest tests/closed_loop/live_view/test_demo.py`` makes those pictures anew.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from tests.closed_loop.live_view.conftest import DESK, PHONE, Open

from quadfollow_sim.mission import city_is_missing

SCREENSHOTS = "QUADFOLLOW_SCREENSHOTS"
PROGRAM = "from quadfollow_core.cli import main; main()"
FLIGHT = ("--world", "city", "--preset", "plaza", "--clock", "real", "--rate", "10", "--no-video", "--view")
SEEN = {
    "live-view-light": {"viewport": DESK, "color_scheme": "light"},
    "live-view-dark": {"viewport": DESK, "color_scheme": "dark"},
    "live-view-phone": {"viewport": PHONE, "color_scheme": "light", "device_scale_factor": 2},
}


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """The page of a demo that flies in the city; Ctrl-C ends the demo, and well."""
    missing = city_is_missing()
    if missing is not None:
        pytest.skip(str(missing))
    command = [sys.executable, "-c", PROGRAM, "demo", *FLIGHT, "--device", "cpu", "--out", tmp_path / "out"]
    demo = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    try:
        assert demo.stderr is not None
        yield next(found[1] for line in demo.stderr if (found := re.search(r"live view: (\S+)", line)))
        demo.send_signal(signal.SIGINT)
        demo.communicate(timeout=60)
        assert demo.returncode == 0
    finally:
        demo.kill()


def wait_for_a_flight(page: Page) -> None:
    """Wait until the page shows a stream that is followed, over ground."""
    expect(page.locator("#status")).to_have_text("Live: demo", timeout=120_000)
    expect(page.locator("#state")).to_have_text("following", timeout=120_000)
    expect(page.locator("#error")).to_have_text(re.compile(r"\d m"), timeout=60_000)
    if SCREENSHOTS in os.environ:
        page.wait_for_timeout(8000)  # for a line on the map


@pytest.mark.slow
def test_the_demo_is_seen_on_a_desk_and_on_a_phone(address: str, visit: Open, tmp_path: Path) -> None:
    """Overlay, map and figures move; what is seen is kept."""
    folder = Path(os.environ.get(SCREENSHOTS, tmp_path))
    for name, look in SEEN.items():
        page = visit(address, **look)
        wait_for_a_flight(page)
        before = page.locator("#map").get_attribute("aria-label")
        expect(page.locator("#map")).not_to_have_attribute("aria-label", str(before), timeout=60_000)
        bottom = page.locator("section[aria-labelledby=figures-title]").bounding_box()
        assert bottom is not None
        area = {"x": 0, "y": 0, "width": look["viewport"]["width"], "height": bottom["y"] + bottom["height"] + 12}
        page.screenshot(path=folder / f"{name}.jpg", type="jpeg", quality=82, full_page=True, clip=area)
        page.context.close()
