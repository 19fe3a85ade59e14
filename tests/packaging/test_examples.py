"""The examples, called wrongly: each says how it is called, as a reader would have to guess otherwise."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
CLIENTS = [("http_client.py", "http://127.0.0.1:9"), ("zmq_client.py", "tcp://127.0.0.1:9")]


def refused(*command: object) -> str:
    """Run what must end as wrong usage, and return what it said."""
    ended = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=240, check=False)
    assert (ended.returncode, ended.stdout) == (2, ""), ended.stderr
    assert ended.stderr.startswith("usage: ")
    return ended.stderr


@pytest.mark.parametrize(("name", "address"), CLIENTS, ids=[name for name, _ in CLIENTS])
def test_a_client_says_how_it_is_called(name: str, address: str, tmp_path: Path) -> None:
    """Without arguments, without a picture and with one that is not there it ends with 2; the address comes first."""
    for words in ((), (address,)):
        assert "address" in refused(sys.executable, EXAMPLES / name, *words).splitlines()[0]
    assert "nowhere.jpg" in refused(sys.executable, EXAMPLES / name, address, tmp_path / "nowhere.jpg")


def test_the_node_client_says_how_it_is_called(tmp_path: Path) -> None:
    """The same from Node; it is told before anything is sent, so zeromq need only be there."""
    if shutil.which("node") is None:
        pytest.skip("Node.js is not installed")
    shutil.copytree(EXAMPLES / "node", tmp_path / "node", ignore=shutil.ignore_patterns("node_modules"))
    package = tmp_path / "node" / "node_modules" / "zeromq"
    package.mkdir(parents=True)
    (package / "index.js").write_text("exports.Dealer = class {};\n")
    client = tmp_path / "node" / "zmq_client.js"
    for words in ((), ("tcp://127.0.0.1:9",)):
        assert "PICTURE.jpg" in refused("node", client, *words)
    assert "nowhere.jpg" in refused("node", client, "tcp://127.0.0.1:9", tmp_path / "nowhere.jpg")
