"""A stream from elsewhere as a world: its newest picture when asked, an end when it ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from typing import Any

import cv2
import numpy as np
import pytest
from tests.sim_bridge.unhurried import PATIENCE

from quadfollow_core.errors import Unavailable
from quadfollow_sim import camera
from quadfollow_sim.camera import CameraSource


class Quiet(SimpleHTTPRequestHandler):
    """Serves files and writes no log."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that stalls has not ended."""
    monkeypatch.setattr(camera, "PATIENCE", PATIENCE)


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Where a film of thirty pictures is streamed from."""
    writer = cv2.VideoWriter(str(tmp_path / "a.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for number in range(30):
        writer.write(np.full((48, 64, 3), (0, 0, 8 * number), dtype=np.uint8))
    writer.release()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path))) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/a.avi"
        server.shutdown()
        thread.join()


def test_the_newest_picture_is_shown_and_none_twice(address: str) -> None:
    """Pictures get lighter and lighter, red stays red, the last one is seen, and then it is over."""
    source = CameraSource(address, rate=20)
    reds = [seen.pixels()[:, :, 0].mean() for seen in iter(source.read, None)]
    source.close()
    assert reds == sorted(set(reds))
    assert reds[-1] == pytest.approx(232, abs=8)
    assert source.read() is None


class Eye:
    """A camera that sees what is put before it; nothing (None) is its end."""

    def __init__(self) -> None:
        self.before: Queue[int | None] = Queue()

    def isOpened(self) -> bool:  # noqa: N802
        """Always."""
        return True

    def read(self) -> tuple[bool, np.ndarray[Any, Any]]:
        """Wait for the next."""
        shade = self.before.get()
        return shade is not None, np.full((4, 4, 3), shade or 0, dtype=np.uint8)

    def release(self) -> None:
        """Nothing to give back."""


def wait_until(is_so: Callable[[], bool]) -> None:
    """Wait for a state."""
    end = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_it_says_whether_a_picture_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """None at first, then how long the newest has waited and how many it replaced; at the end there's no waiting."""
    eye = Eye()
    monkeypatch.setattr(cv2, "VideoCapture", lambda *arguments: eye)
    source = CameraSource("0", rate=20)
    assert source.waiting is None
    for shade in (1, 2, 3):
        eye.before.put(shade)
    wait_until(lambda: source.replaced == 2)
    assert source.waiting is not None
    seen = source.read()
    assert seen is not None
    assert seen.pixels()[0, 0, 0] == 3
    assert (source.waiting, source.replaced) == (None, 0)
    monkeypatch.setattr(camera, "PATIENCE", 0.0)
    assert source.waiting == 0
    assert source.read() is None
    eye.before.put(None)
    source.close()


def test_what_cannot_be_opened_is_named(tmp_path: Path) -> None:
    """The error says what can be given."""
    with pytest.raises(Unavailable, match="rtsp"):
        CameraSource(str(tmp_path / "nothing.mp4"), rate=20)


@pytest.mark.usefixtures("in_step")
def test_fly_shows_a_source(
    address: str, run: Any, tmp_path: Path, start_peer: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """A stream and a file, by the same option; beside another world it is refused."""
    options = ("--server", start_peer().address, "--no-video", "--out", tmp_path / "out")
    assert run("fly", *options, "--source", address) == 0
    assert run("fly", *options, "--source", tmp_path / "a.avi", "--speed", 4) == 0
    assert capsys.readouterr().out.count("answered") >= 2
    assert run("fly", *options, "--source", address, "--world", "city") == 2
    assert run("fly", *options, "--source", tmp_path / "none.mp4") == 4
    assert "rtsp" in capsys.readouterr().err
