"""The examples, each run as a reader would run it, against a real server."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from quadfollow_server.running import RunningServer
from quadfollow_sim.drawn import DrawnSource

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(name: str, *arguments: object) -> str:
    """Run an example and return what it printed."""
    command = [sys.executable, str(EXAMPLES / name), *map(str, arguments)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A picture that shows the target."""
    seen = DrawnSource(1.0).read()
    assert seen is not None
    assert isinstance(seen.image, bytes)
    path = tmp_path / "picture.jpg"
    path.write_bytes(seen.image)
    return path


def test_the_http_client_finds_her(colour_server: RunningServer, picture: Path) -> None:
    """One picture, one target."""
    target = json.loads(run("http_client.py", colour_server.url, picture))
    assert target["area"] > 20


def test_the_zmq_client_finds_her(colour_server: RunningServer, picture: Path) -> None:
    """Every picture is answered, in turn."""
    answers = [json.loads(line) for line in run("zmq_client.py", colour_server.address, picture, picture).splitlines()]
    assert [(answer["id"], answer["type"]) for answer in answers] == [(0, "result"), (1, "result")]
    assert all(answer["target"]["area"] > 20 for answer in answers)


@pytest.fixture
def node_folder(tmp_path: Path) -> Path:
    """The Node example with what it needs."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("Node.js and npm are not installed")
    folder = tmp_path / "node"
    shutil.copytree(EXAMPLES / "node", folder, ignore=shutil.ignore_patterns("node_modules"))
    install = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts"]
    try:
        done = subprocess.run(install, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip("npm takes too long to install zeromq here")
    if done.returncode != 0:
        pytest.skip(f"npm cannot install zeromq here: {done.stderr[-300:]}")
    return folder


@pytest.mark.slow
def test_the_node_client_finds_her(colour_server: RunningServer, picture: Path, node_folder: Path) -> None:
    """From another language the same: every picture is answered, in turn."""
    command = ["node", str(node_folder / "zmq_client.js"), colour_server.address, str(picture), str(picture)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert ended.returncode == 0, ended.stderr
    answers = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [(answer["id"], answer["type"]) for answer in answers] == [(0, "result"), (1, "result")]
    assert all(answer["target"]["area"] > 20 for answer in answers)


@pytest.mark.usefixtures("drawable")
def test_the_controller_of_ones_own_circles_her() -> None:
    """She stays in view while the vehicle flies around her."""
    in_view, turned = map(int, re.findall(r"\d+", run("custom_controller.py", 15)))
    assert in_view > 90
    assert turned > 90


def test_the_world_of_ones_own_is_shown(colour_server: RunningServer) -> None:
    """Its pictures are answered and held against its truth: the square is found in each."""
    printed = run("custom_world.py", colour_server.address)
    told = re.search(r"target found in (\d+) of (\d+) frames", printed)
    assert told is not None, printed
    found, shown = map(int, told.groups())
    assert found == shown > 0, printed


def test_every_example_is_run_here() -> None:
    """None is forgotten."""
    text = Path(__file__).read_text() + Path(__file__).with_name("test_ros2_example.py").read_text()
    examples = [*EXAMPLES.glob("*.py"), *EXAMPLES.glob("node/*.js")]
    assert len(examples) >= 5
    assert [path.name for path in examples if f'"{path.name}"' not in text] == []
