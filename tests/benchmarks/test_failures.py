"""What a benchmark makes of a server, cameras or a step that fails, and of being ended: a finding, and no leftovers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np
import planning
import psutil  # type: ignore[import-untyped]
import pytest
import stream
from measuring import gpu_checks, results
from measuring.peers import FILE, SOURCES, Peer, environment, png_mask
from measuring.servers import http_plan, put_load
from serve import Arena

from quadfollow_core.codec import encode_png
from quadfollow_core.errors import Unavailable
from quadfollow_core.shipped import find_model
from quadfollow_sim.server_process import free_ports

ANOTHER_MASK = """
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

class Answer(BaseHTTPRequestHandler):
    def do_POST(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(bytes.fromhex(sys.argv[2]))

HTTPServer(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
"""


@pytest.fixture
def environments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Environments of two others that count as made; what runs in them is our own Python."""
    for name in ("fastapi", "imagezmq"):
        folder = tmp_path / "peers" / name
        (folder / "bin").mkdir(parents=True)
        (folder / "bin" / "python").symlink_to(sys.executable)
        (folder / "installed.txt").write_text((SOURCES / f"{name}.txt").read_text())
    monkeypatch.setenv("QUADFOLLOW_PEERS", str(tmp_path / "peers"))
    return tmp_path / "peers"


def running(word: str) -> list[psutil.Process]:
    """Processes of ours in whose command a word stands."""
    found = []
    for one in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it may have ended meanwhile
            if word in " ".join(one.cmdline()):
                found.append(one)
    return found


def lives(one: psutil.Process) -> bool:
    """Whether a process still does something."""
    with suppress(psutil.NoSuchProcess):
        return bool(one.is_running() and one.status() != psutil.STATUS_ZOMBIE)
    return False


def test_another_server_that_does_other_work_is_left_out_and_ended(environments: Path, tmp_path: Path) -> None:
    """It would cost the others processor time for as long as they are measured."""
    script = tmp_path / "another_mask.py"
    script.write_text(ANOTHER_MASK)
    arena = Arena("same", find_model("seed"), tmp_path)
    command = ("python", str(script), "{port}", encode_png(np.full((3, 3), 9, np.uint8)).hex())
    with ExitStack() as stack:
        arena.enter_peer(stack, Peer("odd", "fastapi", command, FILE, png_mask))
        assert "another mask" in arena.missing["odd"]
        assert running(script.name) == []
    assert arena.plans == {}


def test_a_server_that_is_gone_is_an_error_of_each_client() -> None:
    """The load goes on to the next server, and what was measured before is not lost."""
    load = put_load(http_plan(free_ports(1)[0], b"", clients=3, seconds=0.1, warm_up=0.1))
    assert (load["errors"], load["answered"], load["latencies"]) == (3, 0, [])


def test_an_environment_without_its_interpreter_is_unavailable(
    environments: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the other server is left out, with the reason."""
    monkeypatch.setenv("QUADFOLLOW_PYTHON_TRITON", "/no/such/python")
    with pytest.raises(Unavailable, match="/no/such/python"):
        environment("triton")


def test_cameras_that_fail_or_never_end_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A camera that waits for a server which has died would wait for ever."""
    monkeypatch.setattr(stream, "PATIENCE", 0.2)
    for program, said in (("raise SystemExit(3)", "status 3"), ("import time; time.sleep(600)", "timed out")):
        with pytest.raises(Unavailable, match=said):
            stream.film((sys.executable, "-c", program), 0, (1, 20.0), 0.1, b"")


def test_another_server_to_which_no_camera_can_stream_is_left_out(environments: Path, tmp_path: Path) -> None:
    """It is tried before anything is measured; here its packages are missing."""
    there, missing = stream.available(["imagezmq"], find_model("seed"), tmp_path)
    assert (there, list(missing)) == ([], ["imagezmq"])


def test_sigterm_ends_the_servers_that_planning_started(tmp_path: Path) -> None:
    """They are sessions of their own, which nobody else would end."""
    command = [sys.executable, results.ROOT / "benchmarks" / "planning.py"]
    with subprocess.Popen([str(word) for word in command], cwd=tmp_path, stderr=subprocess.DEVNULL) as planned:
        servers: list[psutil.Process] = []
        while not servers:
            time.sleep(0.05)
            servers = running("--zmq-port")
        planned.send_signal(signal.SIGTERM)
        assert planned.wait() == 128 + signal.SIGTERM
    assert [one for one in servers if lives(one)] == []


def test_doctor_and_serve_are_ended_where_one_of_them_never_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither outlives the step that began them."""
    (tmp_path / gpu_checks.CUDA_LIBRARIES[0].file).touch()
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    monkeypatch.setattr(gpu_checks, "PROGRAM", "import time; time.sleep(600)")
    monkeypatch.setattr(gpu_checks, "PATIENCE", 0.2)
    with pytest.raises(subprocess.TimeoutExpired):
        gpu_checks.hide_libraries("cuda", 1)
    assert running("time.sleep(600)") == []


def test_what_a_gpu_showed_is_on_disk_after_each_step(tmp_path: Path) -> None:
    """A step that fails is part of it, and the file's folder is made."""
    from gpu import Report  # not before: it loads what exports too, whose packages bring a `tests` of their own

    report = Report(tmp_path / "new" / "gpu.json")
    report.add("one", lambda: 1)
    report.add("two", lambda: 1 / 0)
    found = json.loads((tmp_path / "new" / "gpu.json").read_text())
    assert (found["one"], found["two"]) == (1, {"error": "ZeroDivisionError: division by zero"})


def test_plans_take_the_fastest_gpu_variant_of_32_bits(tmp_path: Path) -> None:
    """Fewer bits are another network, and a model that could not be measured is left out."""
    variants = {name: {"p50_ms": ms} for name, ms in (("plain", 0.9), ("bound", 0.5), ("graph-fp16", 0.3))}
    found = {
        "machine": {"accelerator": {"NVIDIA driver": "for CUDA 13.0; NVIDIA H200"}},
        "model follow-256": {"variants": variants},
        "model follow-160": {"error": "Unavailable: no"},
    }
    (tmp_path / "gpu.json").write_text(json.dumps(found))
    told = planning.gpu_costs(tmp_path / "gpu.json")
    assert (told["card"], told["network_ms"]) == ("NVIDIA H200", {"follow-256": 0.5})


def test_the_machine_is_noted_before_anything_is_measured(tmp_path: Path) -> None:
    """What becomes of this process, or of the sources, meanwhile does not change what was noted."""
    cores = os.sched_getaffinity(0)

    def measure() -> dict[str, int]:
        os.sched_setaffinity(0, {max(cores)})
        return {}

    handler = signal.getsignal(signal.SIGTERM)
    try:
        told = results.run("bound", tmp_path, {}, measure)
    finally:
        os.sched_setaffinity(0, cores)
        signal.signal(signal.SIGTERM, handler)
    assert told["machine"]["cores"] == len(cores)
