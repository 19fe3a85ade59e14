"""The demo starts a server, flies, reports and leaves no process behind, however it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import httpx
import psutil
import pytest
from tests.sim_bridge.unhurried import PATIENCE, PROGRAM

from quadfollow_sim.mission import city_is_missing

Demo = Callable[..., "subprocess.Popen[str]"]
MARK = "QUADFOLLOW_TEST_MARK"
IMPATIENT = "from quadfollow_core.cli import main; main()"
"""The command with its own patience for a server's answers."""


@pytest.fixture
def demo(tmp_path: Path, colour_model: Path) -> Iterator[Demo]:
    """Start ``quadfollow demo``; in the end nothing that it started may be alive."""
    mark = tmp_path.name + str(os.getpid())

    def start(
        *arguments: object, model: Path = colour_model, world: str = "drawn", program: str = PROGRAM
    ) -> subprocess.Popen[str]:
        options = ("--world", world, "--model", model, "--device", "cpu", "--out", tmp_path / "out", *arguments)
        return subprocess.Popen(
            [sys.executable, "-c", program, "demo", *map(str, options)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {MARK: mark},
        )

    yield start
    assert wait_until(lambda: not marked(mark)), f"left behind: {marked(mark)}"


def marked(mark: str) -> list[str]:
    """Command lines of the living processes that carry the mark in their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.cmdline()))
        except (psutil.AccessDenied, psutil.NoSuchProcess):
            continue
    return found


def wait_until(is_so: Callable[[], bool]) -> bool:
    """Whether a state comes about in time."""
    end = time.monotonic() + PATIENCE
    while not is_so() and time.monotonic() < end:
        time.sleep(0.05)
    return is_so()


def finished(process: subprocess.Popen[str]) -> tuple[str, str]:
    """What a demo printed, once it has ended."""
    with process:
        return process.communicate(timeout=200)


def wait_for_flight(process: subprocess.Popen[str]) -> str:
    """Read the demo's stderr until its server is ready, and return where that is."""
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("server ready at "):
            return line.split()[3]
    pytest.fail("the demo ended before its server was ready")


def test_the_demo_reports_and_says_where_things_lie(demo: Demo, tmp_path: Path) -> None:
    """One JSON object on stdout; video and report exist; frames add up; she is found."""
    out, _ = finished(demo("--seconds", 2, "--json"))
    report: dict[str, Any] = json.loads(out)
    assert report["frames"] == sum(report["outcomes"].values())
    assert report["answers"] > 0
    assert report["truth"]["detection_rate"] > 0.9
    film = cv2.VideoCapture(report["files"]["video"])
    assert report["answers"] <= int(film.get(cv2.CAP_PROP_FRAME_COUNT)) <= 20 * report["seconds"] + 2
    film.release()
    assert json.loads(Path(report["files"]["report"]).read_text()) == report
    assert (tmp_path / "out" / "server.log").stat().st_size > 0


def test_the_demo_flies_through_the_city(demo: Demo, tmp_path: Path) -> None:
    """Where OpenGL can draw, a drone flies behind the server's answers; measures, film and report are there."""
    if missing := city_is_missing():
        pytest.skip(str(missing))
    out, errors = finished(demo("--seconds", 3, "--clock", "lockstep", "--json", world="city"))
    report: dict[str, Any] = json.loads(out)
    assert report["flights"][0]["outcomes"] == {"result": 60}, errors
    assert report["overall"]["latency_ms"]["p50"] > 0
    assert Path(report["files"]["video"]).stat().st_size > 0
    assert json.loads(Path(report["files"]["report"]).read_text()) == report


def test_a_model_that_cannot_be_served_shows_the_servers_log(demo: Demo, tmp_path: Path) -> None:
    """When the server dies at its start, the demo ends with 4 and the server's own words."""
    rubbish = tmp_path / "rubbish.onnx"
    rubbish.write_bytes(b"no model")
    process = demo(model=rubbish)
    out, errors = finished(process)
    assert process.returncode == 4
    assert out == ""
    assert "rubbish.onnx" in errors
    assert "its log ends" in errors


def test_frames_that_are_not_there_start_no_server(demo: Demo, tmp_path: Path) -> None:
    """The demo ends with 2 and names the path."""
    process = demo("--frames", tmp_path / "nosuch", world="replay")
    _, errors = finished(process)
    assert process.returncode == 2
    assert str(tmp_path / "nosuch") in errors
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_still_reports(demo: Demo, tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C or SIGTERM in mid-flight ends with 130, and what was flown is reported."""
    process = demo("--seconds", 3600, "--json")
    wait_for_flight(process)
    assert wait_until(lambda: any((tmp_path / "out").glob(".part-*flight.mp4"))), "no frame was answered"
    process.send_signal(number)
    out, _ = finished(process)
    assert process.returncode == 130
    assert json.loads(out)["interrupted"]
    assert (tmp_path / "out" / "flight.mp4").exists()


def test_a_demo_to_look_at_flies_until_it_is_interrupted(demo: Demo) -> None:
    """It says what it starts and where its live view is, flies again and again, and Ctrl-C is its good end."""
    process = demo("--view", "--seconds", 1, "--json")
    assert process.stderr is not None
    lines = iter(process.stderr)
    assert next(lines).startswith("starting a server with colour; its log: ")
    address = next(line.split()[2] for line in lines if line.startswith("live view:"))
    assert "<title>quadfollow" in httpx.get(address).text
    flights = (line for line in lines if line.startswith("flying "))
    for _ in range(3):
        next(flights)
    process.send_signal(signal.SIGINT)
    out, _ = finished(process)
    assert process.returncode == 0
    assert json.loads(out)["plan"]["seconds"] == 1.0


@pytest.mark.slow
def test_a_server_that_hangs_is_gone(demo: Demo, tmp_path: Path) -> None:
    """It lives and answers nothing any more: the demo ends with 5, and reports."""
    process = demo("--seconds", 10, "--json", program=IMPATIENT)
    wait_for_flight(process)
    assert wait_until(lambda: any((tmp_path / "out").glob(".part-*flight.mp4"))), "no frame was answered"
    (server,) = psutil.Process(process.pid).children()
    os.killpg(server.pid, signal.SIGSTOP)
    out, errors = finished(process)
    assert process.returncode == 5, errors
    assert "stopped answering" in errors
    assert json.loads(out)["server_gone"]


def test_the_demos_server_follows_by_the_tracker_asked_for(demo: Demo, write_set: Any, tmp_path: Path) -> None:
    """Over frames, too."""
    process = demo("--frames", write_set(tmp_path / "set"), "--loop", "--tracker", "centroid", world="replay")
    url = wait_for_flight(process)
    assert httpx.get(f"{url}/info").json()["tracker"] == "centroid"
    process.send_signal(signal.SIGINT)
    finished(process)
    assert process.returncode == 130


def test_a_killed_demo_takes_its_server_along(demo: Demo) -> None:
    """Even SIGKILL, which nobody can catch, leaves no server behind."""
    process = demo("--seconds", 3600)
    wait_for_flight(process)
    process.kill()
    finished(process)


def test_a_demo_interrupted_while_its_server_starts_ends_it(demo: Demo, tmp_path: Path) -> None:
    """Ctrl-C before the server is ready ends both."""
    process = demo("--seconds", 3600)
    assert wait_until((tmp_path / "out" / "server.log").exists)
    process.send_signal(signal.SIGINT)
    finished(process)
    assert process.returncode == 130
