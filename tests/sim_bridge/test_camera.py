"""A stream from elsewhere as a world: its newest picture when asked, an end when it ends."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from tests.sim_bridge.unhurried import PATIENCE

from quadfollow_core.cli import main
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


def test_what_cannot_be_opened_is_named(tmp_path: Path) -> None:
    """The error says what can be given."""
    with pytest.raises(Unavailable, match="rtsp"):
        CameraSource(str(tmp_path / "nothing.mp4"), rate=20)


@pytest.mark.usefixtures("in_step")
def test_fly_shows_a_source(
    address: str, tmp_path: Path, start_peer: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A stream and a file, by the same option; beside another world it is refused."""
    options = ["--server", start_peer().address, "--no-video", "--out", str(tmp_path / "out")]

    def fly(*more: str) -> int:
        monkeypatch.setattr(sys, "argv", ["quadfollow", "fly", *options, *more])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0)

    assert fly("--source", address) == 0
    assert fly("--source", str(tmp_path / "a.avi"), "--speed", "4") == 0
    assert capsys.readouterr().out.count("answered") >= 2
    assert fly("--source", address, "--world", "city") == 2
    assert fly("--source", str(tmp_path / "none.mp4")) == 4
    assert "rtsp" in capsys.readouterr().err
