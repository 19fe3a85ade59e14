"""A real Chromium, and streams that go on for as long as it looks."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import cycle, islice
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from tests.closed_loop.conftest import served
from tests.sim_bridge.unhurried import PATIENCE

from quadfollow_core.shipped import find_model
from quadfollow_core.stream_client import StreamClient
from quadfollow_server.running import RunningServer
from quadfollow_sim.bridge import fly
from quadfollow_sim.drawn import DrawnSource
from quadfollow_sim.world import Observation, ScriptedSource

NAMES = ("chromium", "chromium-browser", "google-chrome")
DESK, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
Open = Callable[..., Page]
expect.set_options(timeout=1000 * PATIENCE)  # for all tests of the process


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The system's Chromium, or Playwright's own."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    with sync_playwright() as playwright:
        if found is None and not Path(playwright.chromium.executable_path).exists():
            pytest.skip("no Chromium here: deploy/browser.sh installs it")
        # Chromium's sandbox refuses to run as root.
        sandbox = [] if os.geteuid() else ["--no-sandbox"]
        browser = playwright.chromium.launch(executable_path=found, args=sandbox)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Browser) -> Iterator[Open]:
    """Open pages, each in a context of its own; whatever a page complains about ends the test."""
    complaints: list[str] = []
    with ExitStack() as stack:

        def go(url: str, **options: object) -> Page:
            context = stack.enter_context(chromium.new_context(**{"viewport": DESK} | options))
            page = context.new_page()
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.goto(url)
            return page

        yield go
    assert complaints == []


@pytest.fixture(scope="module")
def walk() -> list[Observation]:
    """Three seconds of the drawn walk, with poses and truth, in which the target crosses the picture."""
    return list(islice(iter(DrawnSource(rate=10, with_depth=False).read, None), 10, 40))


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    """A server of the shipped model."""
    with RunningServer(served(find_model())) as running:
        yield running


@contextmanager
def streaming(address: str, walk: list[Observation], *streams: str, rate: float = 10.0) -> Iterator[list[str]]:
    """Streams of the walk over and over while the block lasts; the outcome of every frame so far is in the list."""
    over, outcomes = threading.Event(), list[str]()

    def stream(name: str) -> None:
        with StreamClient(address, stream=name, timeout=60) as client:
            fly(
                ScriptedSource(cycle(walk), rate),
                client,
                ask=lambda _: {"want": ["target", "people", "track"]},
                witnesses=(lambda row, *_: outcomes.append(row.outcome),),
                stop=over.is_set,
            )

    threads = [threading.Thread(target=stream, args=[name], daemon=True) for name in streams]
    for thread in threads:
        thread.start()
    try:
        yield outcomes
    finally:
        over.set()
        for thread in threads:
            thread.join(PATIENCE)
