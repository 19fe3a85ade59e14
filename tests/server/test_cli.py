"""The commands `serve` and `info`, and what importing the server loads."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from quadfollow_core.errors import BadModel, NotFound, ServerGone, Unavailable
from quadfollow_server.cli import info, serve
from quadfollow_server.running import RunningServer

FREE = ["--port=0", "--zmq-port=0", "--pub-port=0", "--no-supervisor"]


def test_info_tells_what_is_installed_as_one_json_object() -> None:
    """`info --json` prints version, devices and shipped models, and nothing else on stdout."""
    result = CliRunner().invoke(info, ["--json"], catch_exceptions=False)
    found = json.loads(result.stdout)
    assert found["devices"]["cpu"] == "usable"
    assert found["version"]
    assert isinstance(found["models"], list)


def test_info_asks_a_running_server(server: RunningServer) -> None:
    """`info --url` tells what a server is, as JSON and as text."""
    runner = CliRunner()
    as_json = runner.invoke(info, ["--url", server.url, "--json"], catch_exceptions=False)
    assert json.loads(as_json.stdout)["models"][0]["name"] == "colours"
    text = runner.invoke(info, ["--url", server.url], catch_exceptions=False).stdout
    assert "model colours (default): 64x48, on " in text
    assert "max_pixels: 2000000" in text


def test_info_says_when_no_server_answers() -> None:
    """Where nothing listens, `info --url` says so."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(ServerGone):
        CliRunner().invoke(info, ["--url", f"http://127.0.0.1:{port}"], catch_exceptions=False)


def test_serve_says_why_it_cannot_start(models: tuple[Path, Path], tmp_path: Path) -> None:
    """An unknown model, a broken one and a device that is not there each end with their own error."""
    runner = CliRunner()
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"x")
    for options, error in [
        (["--model", "nowhere"], NotFound),
        (["--model", str(broken)], BadModel),
        (["--model", str(models[0]), "--device", "tensorrt"], Unavailable),
    ]:
        with pytest.raises(error):
            runner.invoke(serve, [*FREE, *options], catch_exceptions=False)
    assert [signal.getsignal(number) for number in numbers] == before, "it left signal handlers behind"


def test_serve_ends_with_the_code_of_its_error(models: tuple[Path, Path]) -> None:
    """As a process, a taken port is one line on stderr and exit code 4."""
    program = "from quadfollow_core.cli import main; main()"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        options = ["--model", str(models[0]), "--port", str(taken.getsockname()[1]), "--zmq-port=0", "--pub-port=0"]
        command = [sys.executable, "-c", program, "serve", *options, "--log-level=error"]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert ended.returncode == 4
    assert ended.stderr.startswith("error: HTTP cannot listen on 127.0.0.1 port")
    assert len(ended.stderr.splitlines()) == 1


def test_importing_the_server_loads_no_training_stack() -> None:
    """Neither the package nor any of its modules loads tensorflow, keras or matplotlib."""
    program = """
import importlib, pkgutil, sys, quadfollow_server
for module in pkgutil.iter_modules(quadfollow_server.__path__):
    importlib.import_module(f"quadfollow_server.{module.name}")
print(sorted({"tensorflow", "keras", "tf2onnx", "matplotlib"} & sys.modules.keys()))
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=200, check=True)
    assert ended.stdout.strip() == "[]"
