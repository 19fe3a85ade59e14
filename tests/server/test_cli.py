"""The commands `serve` and `info`."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tests.server.dispatching import ANY

from quadfollow_core.client_key import VARIABLE, ClientKey
from quadfollow_core.errors import BadInput, BadModel, NotFound, ServerGone, Unavailable
from quadfollow_server.access import Access
from quadfollow_server.cli import info, serve
from quadfollow_server.keys import new_client
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


def test_info_says_how_a_key_is_given(key: ClientKey, folder: Path, constant: Any, tmp_path: Path) -> None:
    """Asked for a key it has none of, or with one that is not known, it names the variable."""
    other = tmp_path / "other.json"
    other.write_text(new_client(tmp_path / "elsewhere", "drone").to_json())
    with RunningServer(replace(ANY, access=Access(keys=str(folder))), [constant()]) as server:
        for environment, fault in [({}, "asks for a key"), ({VARIABLE: str(other)}, "does not know the key")]:
            with pytest.raises(BadInput, match=f"{fault}: {VARIABLE} names"):
                CliRunner().invoke(info, ["--url", server.url], env=environment, catch_exceptions=False)


@pytest.mark.parametrize("supervised", [True, False])
def test_serve_names_variables_that_set_nothing(supervised: bool) -> None:
    """A misspelt one is said once, and no other; whatever serves them."""
    program = "from quadfollow_core.cli import main; main()"
    command = [sys.executable, "-c", program, "serve", "--model=nowhere", *FREE[: 3 if supervised else 4]]
    environment = os.environ | {"QUADFOLLOW_SERVE_PROT": "80", "QUADFOLLOW_SERVE_MAX_BODY_MB": "8"}
    ended = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False, env=environment)
    assert ended.returncode == NotFound.exit_code
    (line,) = [line for line in ended.stderr.splitlines() if "goes by" in line]
    assert "goes by QUADFOLLOW_SERVE_PROT: see" in line


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


@pytest.mark.parametrize(("option", "value"), [("--max-body-mb", "nan"), ("--max-waiting-mb", "inf")])
def test_a_size_that_is_none_is_refused(option: str, value: str) -> None:
    """What is no number, or has no end, is bad input that names the option."""
    with pytest.raises(BadInput, match=f"{option} is a number of MiB, got {value}"):
        CliRunner().invoke(serve, [*FREE, option, value], catch_exceptions=False)


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
