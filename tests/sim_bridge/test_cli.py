"""The command ``fly``: what it prints where, what it leaves behind, and what it ends with."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import pytest
from tests.sim_bridge.unhurried import PATIENCE, PROGRAM

from quadfollow_core.request import Result
from quadfollow_sim.replay import ReplaySource
from quadfollow_sim.server_process import free_ports

Run = Callable[..., int]


def test_without_a_server_fly_ends_with_5(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The error names the address and the remedy, nothing is written, and stdout stays empty."""
    assert run("fly", "--server", "tcp://127.0.0.1:9", "--out", tmp_path / "out") == 5
    printed = capsys.readouterr()
    assert "tcp://127.0.0.1:9" in printed.err
    assert "quadfollow serve" in printed.err
    assert printed.out == ""
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("in_step")
def test_fly_leaves_video_report_and_rows(run: Run, tmp_path: Path, start_peer: Any, capsys: Any) -> None:
    """With --json stdout is one object, which is also the report; the rows are the frames, the film the answers."""
    out = tmp_path / "out"
    arguments = ("--server", start_peer().address, "--out", out, "--seconds", 1, "--log", "--json", "--stream", "s")
    assert run("fly", *arguments) == 0
    printed = capsys.readouterr()
    report = json.loads(printed.out)
    assert report == json.loads((out / "report.json").read_text())
    assert report["plan"]["world"] == "drawn"
    assert printed.err.startswith("flying world drawn, rate 20, ")
    assert "{" not in printed.err
    rows = [json.loads(line) for line in (out / "frames.jsonl").read_text().splitlines()]
    assert len({row["id"] for row in rows}) == len(rows) == report["frames"] == sum(report["outcomes"].values())
    film = cv2.VideoCapture(report["files"]["video"])
    assert int(film.get(cv2.CAP_PROP_FRAME_COUNT)) == report["answers"] == 20
    film.release()
    assert sorted(path.name for path in out.iterdir()) == ["flight.mp4", "frames.jsonl", "report.json"]
    assert report["truth"]["detection_rate"] == 1.0


@pytest.mark.usefixtures("in_step")
def test_fly_prints_a_table(
    run: Run, tmp_path: Path, start_peer: Any, write_set: Callable[..., Path], capsys: Any
) -> None:
    """With --frames the world is the recording; without video or masks no mask is asked for."""
    peer = start_peer()
    folder = write_set(tmp_path / "set", 4)
    plain = folder / "images"
    options = ("--server", peer.address, "--out", tmp_path / "out", "--no-video", "--model", "m")
    assert run("fly", "--frames", folder, *options) == 0
    assert "4 frames" in capsys.readouterr().out
    assert all("mask:png" in request.want for request in peer.requests)
    peer.requests.clear()
    assert run("fly", "--world", "replay", "--frames", plain, *options) == 0
    assert "no masks" in capsys.readouterr().out
    assert len(peer.requests) == 4
    assert all(request.want == {"target", "people", "track"} and request.model == "m" for request in peer.requests)
    assert not (tmp_path / "out" / "flight.mp4").exists()


def test_an_old_film_is_not_passed_off_as_new(
    run: Run, tmp_path: Path, start_peer: Any, in_step: Any, capsys: Any
) -> None:
    """A flight without answers names no video, though an earlier one's lies there; its frames count."""
    in_step.service = None
    (tmp_path / "flight.mp4").write_bytes(b"old")
    peer = start_peer(lambda request: None)
    assert run("fly", "--server", peer.address, "--out", tmp_path, "--seconds", 0.3, "--json") == 1
    report = json.loads(capsys.readouterr().out)
    assert set(report["files"]) == {"report"}
    assert report["answers"] == 0
    assert report["frames"] == report["outcomes"]["lost"] + report["outcomes"]["unsent"] == 6


@pytest.mark.usefixtures("in_step")
def test_a_flight_of_which_nothing_was_answered_ends_with_1(
    run: Run, tmp_path: Path, start_peer: Any, write_set: Callable[..., Path], capsys: Any
) -> None:
    """The error says why, nothing is said against the masks, and the report is written."""
    refused = {"type": "error", "code": "not-found", "detail": "no model 'nosuch' here"}
    peer = start_peer(lambda request: Result(refused | {"id": request.id}))
    options = ("--server", peer.address, "--model", "nosuch", "--out", tmp_path / "out")
    assert run("fly", "--frames", write_set(tmp_path / "set", 4), *options) == 1
    printed = capsys.readouterr()
    error = printed.err.splitlines()[-1]
    assert all(word in error for word in ("none of 4 pictures", "4 x no model 'nosuch' here", "--model"))
    assert "no masks" not in printed.out
    assert "nothing was answered" in printed.out
    assert json.loads((tmp_path / "out" / "report.json").read_text())["outcomes"]["error"] == 4


@pytest.mark.usefixtures("in_step")
def test_faulty_recordings_end_with_3(run: Run, tmp_path: Path, start_peer: Any, write_set: Any, capsys: Any) -> None:
    """The faulty files are named and no frame goes out."""
    peer = start_peer()
    folder = write_set(tmp_path, 3)
    (folder / "images" / "0_run1cam1_00001.jpeg").write_bytes(b"no picture")
    assert run("fly", "--frames", folder, "--server", peer.address, "--out", tmp_path / "out") == 3
    assert "0_run1cam1_00001.jpeg" in capsys.readouterr().err
    assert peer.requests == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("--world", "replay"),
        ("--world", "drawn", "--frames", "."),
        ("--rate", "0"),
        ("--seconds", "-1"),
        ("--server", "nonsense"),
        ("--world", "moon"),
        ("--seed", "-1"),
        ("--rate", "inf"),
        ("--world", "city", "--eyes", "truth", "--seconds", "inf"),
        ("--loop",),
        ("--calibration", "lens.json"),
        ("--frames", ".", "--seed", "1"),
        ("--source", "0", "--loop"),
        ("--frames", "nosuch.mcap"),
        ("--world", "quadsim", "--patience", "0"),
    ],
)
def test_wrong_usage_ends_with_2(
    run: Run, tmp_path: Path, arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """Combinations that make no sense are refused before anything happens."""
    assert run("fly", "--out", tmp_path / "out", *arguments) == 2
    assert not (tmp_path / "out").exists()
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("word", "arguments"),
    [
        ("--record", ("--record", "a.mcap")),
        ("--server", ("--server", "tcp://127.0.0.1:1")),
        ("--video", ("--no-video",)),
        ("--seconds", ("--frames", ".", "--loop")),
    ],
)
def test_what_saving_would_not_heed_is_refused(
    run: Run, tmp_path: Path, word: str, arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """No server is asked and nothing is filmed; and it has to end."""
    assert run("fly", "--save-frames", tmp_path / "clip", *arguments) == 2
    assert word in capsys.readouterr().err
    assert not (tmp_path / "clip").exists()


def test_a_place_that_cannot_be_written_ends_with_2(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """One line names it."""
    assert run("fly", "--seconds", 0.1, "--save-frames", "/proc/nowhere") == 2
    assert capsys.readouterr().err.startswith("error: /proc/nowhere")


def test_a_drawn_clip_can_be_saved(run: Run, tmp_path: Path, capsys: Any) -> None:
    """--save-frames writes the processed layout and needs no server."""
    assert run("fly", "--save-frames", tmp_path / "clip", "--seconds", 0.5, "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"frames": 10, "folder": str(tmp_path / "clip")}
    assert len(ReplaySource(tmp_path / "clip").frames) == 10


def test_a_replay_is_saved_for_so_long(run: Run, tmp_path: Path, write_set: Any, monkeypatch: Any, capsys: Any) -> None:
    """Rate and seconds say how many of its frames, over and over; what the environment sets is not in the way."""
    monkeypatch.setenv("QUADFOLLOW_FLY_SERVER", "tcp://127.0.0.1:1")
    how = ("--frames", write_set(tmp_path / "set", 3), "--seconds", 0.5, "--json", "--save-frames")
    assert run("fly", *how, tmp_path / "a", "--loop") == 0
    assert json.loads(capsys.readouterr().out)["frames"] == 10
    assert run("fly", *how, tmp_path / "b", "--rate", 4) == 0
    assert json.loads(capsys.readouterr().out)["frames"] == 2


@pytest.mark.parametrize(
    ("variable", "value", "arguments"),
    [
        ("SPEED", "2", ()),
        ("TOPIC", "/camera/image", ()),
        ("FRAMES", ".", ("--world", "drawn")),
        ("CALIBRATION", "nosuch.json", ()),
        ("EYES", "truth", ()),
        ("SEED", "-1", ("--frames",)),
    ],
)
@pytest.mark.usefixtures("in_step")
def test_what_the_environment_sets_for_other_worlds_is_passed_over(
    run: Run,
    tmp_path: Path,
    start_peer: Any,
    write_set: Any,
    monkeypatch: Any,
    variable: str,
    value: str,
    arguments: tuple[str, ...],
) -> None:
    """What would be refused on the command line does not bite when the environment says it."""
    monkeypatch.setenv(f"QUADFOLLOW_FLY_{variable}", value)
    frames = [write_set(tmp_path / "set")] if arguments == ("--frames",) else []
    how = ("--seconds", 0.2, "--no-video", "--out", tmp_path / "out", "--server", start_peer().address)
    assert run("fly", *arguments, *frames, *how) == 0


@pytest.mark.parametrize("variable", ["EYES=truth", "FLIGHTS=20", "SEED=-1", "SAVE_FRAMES=clip", "CLOCK=lockstep"])
def test_quadsim_is_flown_whatever_the_environment_sets_for_others(
    run: Run, tmp_path: Path, start_peer: Any, monkeypatch: Any, capsys: Any, variable: str
) -> None:
    """It is waited for; that none comes is all that is said."""
    monkeypatch.chdir(tmp_path)
    name, _, value = variable.partition("=")
    monkeypatch.setenv(f"QUADFOLLOW_FLY_{name}", value)
    (port,) = free_ports(1)
    how = ("--server", start_peer().address, "--listen", f"127.0.0.1:{port}", "--patience", 0.1)
    assert run("fly", "--world", "quadsim", *how) == 4
    assert "no picture of QuadSim" in capsys.readouterr().err
    assert not (tmp_path / "clip").exists()


@pytest.mark.usefixtures("in_step")
def test_a_calibration_that_is_none_leaves_earlier_files_alone(
    run: Run, tmp_path: Path, start_peer: Any, write_set: Any
) -> None:
    """It is looked at before anything is opened."""
    rows, lens = tmp_path / "out" / "frames.jsonl", tmp_path / "lens.json"
    rows.parent.mkdir()
    rows.write_text("of an earlier flight")
    lens.write_text("{}")
    how = (
        "--frames",
        write_set(tmp_path / "set"),
        "--server",
        start_peer().address,
        "--out",
        tmp_path / "out",
        "--log",
    )
    assert run("fly", *how, "--record", tmp_path / "a.mcap", "--calibration", lens) == 2
    assert rows.read_text() == "of an earlier flight"
    assert not (tmp_path / "a.mcap").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_flight_still_reports(tmp_path: Path, start_peer: Any, number: signal.Signals) -> None:
    """Ctrl-C or SIGTERM in mid-flight ends with 130, and report and film are whole."""
    peer = start_peer()
    command = [sys.executable, "-c", PROGRAM, "fly", "--server", peer.address, "--out", str(tmp_path), "--json"]
    command += ["--seconds", "3600"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        end = time.monotonic() + PATIENCE
        while len(peer.requests) < 5 and time.monotonic() < end:
            time.sleep(0.02)
        process.send_signal(number)
        printed, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    report = json.loads(printed)
    assert report["interrupted"]
    assert report["frames"] >= 5
    assert report["seconds"] < 3600
    assert sum(report["outcomes"].values()) == report["frames"]
    film = cv2.VideoCapture(str(tmp_path / "flight.mp4"))
    assert 0 < int(film.get(cv2.CAP_PROP_FRAME_COUNT)) <= 20 * report["seconds"] + 2
    film.release()
