"""The documentation's shell commands: each is carried out here, or it is said where it is."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.packaging.conftest import ROOT
from tests.packaging.pages import shell_lines
from tests.sim_bridge.recording.conftest import moment

from quadfollow_core.codec import decode_image
from quadfollow_server.running import RunningServer
from quadfollow_sim.drawn import DrawnSource
from quadfollow_sim.mission import city_is_missing
from quadfollow_sim.recording.tape import Tape

ELSEWHERE = {
    r"^(docker|kubectl) |^python3 -c .*prometheus\.json": "make image-test and make kubernetes-test",
    r"^(ray start|serve run) |--ray ": "make scale-test",
    r"^pip install --constraint": "deploy/setup.sh installs by the same constraints",
    r"^make |^\. \.venv/bin/activate$": "continuous integration begins with them; the view in closed_loop/live_view",
    r"^(cd examples/node|node) ": "closed_loop/test_examples.py",
    r"qf_…|tcp://server:5555": "closed_loop/test_keys.py",
    r"^openssl |--tls-cert|https://server:8000": "server/test_exposure.py, core/test_http_client.py",
    r"--hold-until-armed|quadfollow pilot ": "sim_bridge/orders",
    r"--world quadsim": "closed_loop/test_quadsim.py",
    r"--traces": "server/test_traces.py, where OpenTelemetry is installed",
    r"--source (0|rtsp:)": "a camera is needed; sim_bridge/test_camera.py has what stands for one",
    r"^quadfollow rerun \S+$": "it opens a window",
    r"data fetch|(--data|--evaluate) data(/sample_evaluation_data)?($| )|^quadfollow serve --model models/mine.onnx": (
        "Udacity's archives and hours of training; training/ and export/ test the same with less"
    ),
    r"^quadfollow study --page": "training/test_study.py",
    r"out/street( |$)": "minutes; sim_bridge/city/test_dataset.py and training/test_evaluate.py with less",
    r"data/blue|runs/blue": "long training; sim_bridge/city, training/, export/ test each step with less",
}
ENDLESS = {
    r"^quadfollow serve": r"\bready\b",
    r"^quadfollow demo --view": "live view: ",
    r"^quadfollow record --from": "people are in these pictures",
}
"""Commands that end with Ctrl-C, and what they say once they go."""
BEFORE = {r"serve .*--keys": "quadfollow keys new drone --keys keys && "}
"""What comes before a command on its page."""
SHORTER = (
    ("--flights 20 --seconds 60", "--flights 1 --seconds 1"),
    ("--seconds 30", "--seconds 1"),
    ("--count 5000", "--count 4"),
    ("demo --world city", "demo --world city --seconds 1"),
    ("--world city --record", "--world city --seconds 1 --record"),
)
INTERRUPTED = 130
COMMANDS = sorted({line for _, line in shell_lines()})
HERE = [line for line in COMMANDS if not any(re.search(rule, line) for rule in ELSEWHERE)]


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    """A server of the shipped model."""
    with RunningServer() as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the files that the documentation speaks of."""
    jpegs = [one.image for one in iter(DrawnSource(0.5, with_depth=False).read, None) if isinstance(one.image, bytes)]
    (tmp_path / "frame.jpg").write_bytes(jpegs[0])
    write_video(tmp_path / "clip.mp4", [decode_image(jpeg) for jpeg in jpegs])
    write_video(tmp_path / "board.mp4", [board(turn) for turn in np.linspace(-0.5, 0.5, 24)])
    (tmp_path / "out").mkdir()
    with Tape(tmp_path / "out" / "street.mcap") as tape:
        for number in range(10):
            tape.write(moment(number))
    return tmp_path


def write_video(path: Path, pictures: list[np.ndarray]) -> None:
    """Write a video of ten pictures a second."""
    height, width = pictures[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10.0, (width, height))
    for picture in pictures:
        writer.write(np.ascontiguousarray(picture[:, :, ::-1]))
    writer.release()


def board(turn: float) -> np.ndarray:
    """A chessboard of 9 by 6 inner corners, turned about an upright axis and a lying one."""
    squares = np.kron(np.indices((7, 10)).sum(axis=0) % 2, np.ones((40, 40))).astype(np.uint8) * 200 + 30
    flat = cv2.copyMakeBorder(squares, 40, 40, 40, 40, cv2.BORDER_CONSTANT, value=230)
    height, width = flat.shape
    x, y = np.meshgrid([-width / 2, width / 2], [-height / 2, height / 2])
    corners = np.stack([x.ravel(), y.ravel(), np.zeros(4)], axis=1)
    lens = np.array([[600.0, 0, 320], [0, 600, 240], [0, 0, 1]])
    seen, _ = cv2.projectPoints(
        corners, np.array([turn, 1.3 * turn**2 - 0.3, turn / 3]), np.array([0, 0, 700.0]), lens, None
    )
    warp = cv2.getPerspectiveTransform(
        np.array([[0, 0], [width, 0], [0, height], [width, height]], dtype=np.float32),
        seen.reshape(4, 2).astype(np.float32),
    )
    drawn = cv2.warpPerspective(flat, warp, (640, 480), borderValue=110)
    return np.repeat(drawn[:, :, None], 3, axis=2)


def prepared(line: str, server: RunningServer) -> tuple[str, dict[str, str]]:
    """A command as it is carried out: shorter, at free ports; and its environment."""
    for long, short in SHORTER:
        line = line.replace(long, short)
    for fixed, free in (
        ("http://127.0.0.1:8000", server.url),
        ("tcp://127.0.0.1:5555", server.address),
        ("tcp://127.0.0.1:5556", server.pub_address),
    ):
        line = line.replace(fixed, free)
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ports = {f"QUADFOLLOW_SERVE_{name}": "0" for name in ("PORT", "ZMQ_PORT", "PUB_PORT")}
    return line.removesuffix("&"), os.environ | ports | {"QUADFOLLOW_FLY_SERVER": server.address, "PATH": programs}


def test_every_command_is_carried_out_somewhere() -> None:
    """What is not carried out here stands in the table, and nothing stands there in vain."""
    assert [rule for rule in ELSEWHERE if not any(re.search(rule, line) for line in COMMANDS)] == []
    strangers = [line for line in HERE if not line.startswith(("quadfollow ", "curl "))]
    assert strangers == []


def test_every_make_target_exists() -> None:
    """Each `make` of the documentation, and of the table, is one."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {line.split()[1] for line in COMMANDS if line.startswith("make ")}
    elsewhere = set(re.findall(r"\bmake ([a-z-]+)", " ".join(ELSEWHERE.values())))
    assert named | elsewhere <= targets
    assert elsewhere


def test_where_commands_are_carried_out_there_is_something() -> None:
    """Each folder and each file that the table names exists, among the tests or in the checkout."""
    words = [word.rstrip(".") for word in re.findall(r"[\w./-]+", " ".join(ELSEWHERE.values()))]
    places = {word for word in words if "/" in word or word.endswith(".py")}
    assert {place for place in places if not any((root / place).exists() for root in (ROOT / "tests", ROOT))} == set()
    assert len(places) > 5


@pytest.mark.parametrize("line", [line for line in HERE if line.startswith("curl ")])
def test_curl_is_answered(line: str, server: RunningServer, folder: Path) -> None:
    """The server takes it as it stands."""
    command, environment = prepared(line, server)
    done = subprocess.run(
        ["bash", "-c", command + " --fail"], cwd=folder, env=environment, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    picture = folder / "overlay.png"
    assert b'"type":"result"' in done.stdout or picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
@pytest.mark.parametrize("line", [line for line in HERE if line.startswith("quadfollow ")])
def test_the_command_does_its_work(line: str, server: RunningServer, folder: Path) -> None:
    """It ends with 0, by itself or at Ctrl-C once it goes."""
    missing = city_is_missing() if "city" in line or "render" in line else None
    if missing is not None:
        pytest.skip(str(missing))
    command, environment = prepared(line, server)
    before = next((first for rule, first in BEFORE.items() if re.search(rule, line)), "")
    said = next((told for rule, told in ENDLESS.items() if re.search(rule, line)), None)
    process = subprocess.Popen(
        ["bash", "-c", f"{before}exec {command}"],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    told: list[str] = []
    if said is not None:
        for printed in process.stdout:
            told.append(printed)
            if re.search(said, printed):
                process.send_signal(signal.SIGINT)
                break
    told.append(process.communicate(timeout=240)[0])
    assert process.returncode in ((0,) if said is None else (0, INTERRUPTED)), "".join(told)
