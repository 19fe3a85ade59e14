"""Servers as processes of their own: started, waited for, asked, weighed and ended."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil  # type: ignore[import-untyped]

from measuring.load import Plan
from quadfollow_core import wire
from quadfollow_core.errors import Unavailable
from quadfollow_core.shipped import lower_precision
from quadfollow_server.model_file import read_file
from quadfollow_server.variants import VARIANTS
from quadfollow_sim.server_process import free_ports

HOST = "127.0.0.1"
READY_SECONDS = 240.0
STOP_SECONDS = 10.0
IDLE_LOOK = 0.1
"""Seconds between two looks at whether a server is idle."""
IDLE_SHARE = 0.25
"""Share of a core that an idle server may use: two ticks of the system's clock between two looks."""
IDLE_SECONDS = 3.0
"""Longest wait for a server to be idle; some never are."""
LOAD = Path(__file__).with_name("load.py")
BARE_SERVER = Path(__file__).with_name("bare_server.py")
NULL_SERVER = Path(__file__).with_name("null_server.py")


class Process:
    """A server's process with all it starts; use it as a context manager.

    Raises:
        Unavailable: it ended, or it takes no connections in time; the message has the end of its log.
    """

    def __init__(self, command: Sequence[object], port: int, log: Path, **environment: str) -> None:
        self._command = [str(word) for word in command]
        self.port = port
        self._log = log
        self._environment = os.environ | environment

    def __enter__(self) -> Self:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                cwd=self._log.parent,
                start_new_session=True,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        family = self.family()
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_SECONDS)
        for one in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def family(self) -> list[psutil.Process]:
        """The process and all below it that are alive."""
        try:
            first = psutil.Process(self._process.pid)
            return [first, *first.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    @property
    def cpu_seconds(self) -> float:
        """Processor time that the family has used so far."""
        return sum(_cpu(one) for one in self.family())

    @property
    def memory_mb(self) -> float:
        """Memory of the family: each process's own, and its share of what several have mapped."""
        return sum(_memory(one) for one in self.family()) / 1e6

    def wait_idle(self) -> None:
        """Wait until what it was asked before costs it no more, so that the next load does not pay for it."""
        end, last = time.monotonic() + IDLE_SECONDS, self.cpu_seconds
        while time.monotonic() < end:
            time.sleep(IDLE_LOOK)
            now = self.cpu_seconds
            if now - last <= IDLE_SHARE * IDLE_LOOK:
                return
            last = now

    def wait_until(self, well: Callable[[], bool]) -> None:
        """Wait until a check says yes; see the class for what is raised."""
        end = time.monotonic() + READY_SECONDS
        while not well():
            if self._process.poll() is not None:
                raise Unavailable(f"{self._command[0]} ended with code {self._process.returncode}; {self._tail()}")
            if time.monotonic() > end:
                raise Unavailable(f"{self._command[0]} was not ready in {READY_SECONDS:g} s; {self._tail()}")
            time.sleep(0.1)

    def _tail(self) -> str:
        return "its log ends:\n" + "\n".join(self._log.read_text(errors="replace").splitlines()[-15:])


def _cpu(process: psutil.Process) -> float:
    with contextlib.suppress(psutil.NoSuchProcess):
        times = process.cpu_times()
        return float(times.user + times.system)
    return 0.0


def _memory(process: psutil.Process) -> float:
    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        return float(process.memory_full_info().pss)
    return 0.0


class Ours(Process):
    """``quadfollow serve`` on free ports; ready within the block.

    Args:
        log: where its log goes.
        options: further options of the command, such as ``--model``; None for a server whose network costs nothing.
    """

    def __init__(self, log: Path, options: Sequence[object] | None) -> None:
        http, zmq, pub = free_ports(3)
        self.zmq_port = zmq
        ports = ("--port", http, "--zmq-port", zmq, "--pub-port", pub)
        program = ("-c", "from quadfollow_core.cli import main; main()", "serve")
        words = (NULL_SERVER,) if options is None else (*program, *options)
        super().__init__([sys.executable, *words, *ports], http, log)

    def __enter__(self) -> Self:
        super().__enter__()
        with ended_on_error(self):
            self.wait_until(lambda: get(self.port, "/readyz")[0] == 200)
        return self

    @property
    def url(self) -> str:
        """Address of the HTTP door."""
        return f"http://{HOST}:{self.port}"

    @property
    def address(self) -> str:
        """Address of the ZeroMQ door."""
        return f"tcp://{HOST}:{self.zmq_port}"

    def model(self, path: Path | None = None) -> dict[str, Any]:
        """What ``/info`` tells of the model that answers, and of its file at ``path`` which content it really runs."""
        described: dict[str, Any] = json.loads(get(self.port, "/info")[1])["models"][0]
        told = {key: described[key] for key in ("name", "file", "version", "device")}
        return told if path is None else told | {"runs": file_run(path, told["device"])}


class Bare(Process):
    """A loop around the network in place of a server, on a free port; it takes connections within the block.

    Args:
        log: where its log goes.
        door: ``zmq`` or ``http``.
        options: what it serves: ``--model``, ``--device``, ``--variant``.
    """

    def __init__(self, log: Path, door: str, options: Sequence[object]) -> None:
        (port,) = free_ports(1)
        super().__init__([sys.executable, BARE_SERVER, door, *options, "--port", port], port, log)

    def __enter__(self) -> Self:
        super().__enter__()
        with ended_on_error(self):
            self.wait_until(self._listens)
        return self

    def _listens(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection((HOST, self.port), timeout=1):
            return True
        return False

    @property
    def address(self) -> str:
        """Where it is over ZeroMQ."""
        return f"tcp://{HOST}:{self.port}"


def file_run(path: Path, device: Mapping[str, str]) -> dict[str, str]:
    """Name and version of the file that a device and variant run of a model: its own, or one of lower precision."""
    precisions = {variant.name: variant.precision for variant in VARIANTS[device["name"]]}
    precision = precisions[device["variant"]]
    file = read_file(lower_precision(path, precision) if precision else path)
    return {"file": file.name, "version": file.version}


@contextlib.contextmanager
def ended_on_error(process: Process) -> Iterator[None]:
    """End a process whose start failed."""
    try:
        yield
    except BaseException:
        process.__exit__(None, None, None)
        raise


def http_request(path: str, body: bytes, headers: dict[str, str]) -> bytes:
    """Write a POST request."""
    lines = [f"POST {path} HTTP/1.1", f"Host: {HOST}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def jpeg_request(jpeg: bytes, **headers: str) -> bytes:
    """Write a POST of a JPEG as the raw body."""
    return http_request("/segment", jpeg, {"Content-Type": "image/jpeg"} | headers)


def zmq_request(image: bytes, **header: Any) -> list[bytes]:
    """Write a request to the ZeroMQ door."""
    return [bytes(part) for part in wire.encode_request({"id": 1} | header, image)]


def http_plan(port: int, request: bytes, **options: Any) -> Plan:
    """Plan to ask over HTTP."""
    return Plan("http", HOST, port, (base64.b64encode(request).decode(),), **options)


def zmq_plan(port: int, parts: Sequence[bytes], **options: Any) -> Plan:
    """Plan to ask over ZeroMQ."""
    return Plan("zmq", HOST, port, tuple(base64.b64encode(part).decode() for part in parts), **options)


def put_load(plan: Plan) -> dict[str, Any]:
    """Carry out a plan in a process of its own; see :func:`measuring.load.report`."""
    done = subprocess.run([sys.executable, LOAD], input=plan.to_json(), stdout=subprocess.PIPE, text=True, check=True)
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def weighed(server: Process, plan: Plan) -> dict[str, Any]:
    """Put a load on a server and weigh it: what :func:`put_load` gives, ``server_cpu_ms`` and ``memory_mb``.

    The processor time is that of the whole load, warm-up and refusals too, by the number of its answers, refusals not
    among them.
    """
    server.wait_idle()
    before = server.cpu_seconds
    load = put_load(plan)
    server.wait_idle()
    load["server_cpu_ms"] = 1000 * (server.cpu_seconds - before) / max(1, load["answered"])
    load["memory_mb"] = server.memory_mb
    return load


def get(port: int, path: str) -> tuple[int, bytes]:
    """GET a page; status 0 where nobody answers."""
    return ask(port, f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())


def ask(port: int, request: bytes) -> tuple[int, bytes]:
    """Send a request's bytes and return status and body; status 0 where nobody answers."""
    try:
        with socket.create_connection((HOST, port), timeout=30) as connection:
            connection.sendall(request)
            response = HTTPResponse(connection)
            response.begin()
            return response.status, response.read()
    except (OSError, HTTPException):
        return 0, b""
