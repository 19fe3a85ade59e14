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
from collections.abc import Callable, Iterator, Sequence
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil  # type: ignore[import-untyped]

from measuring.load import Plan
from quadfollow_core import wire
from quadfollow_core.errors import Unavailable
from quadfollow_sim.server_process import free_ports

HOST = "127.0.0.1"
READY_SECONDS = 240.0
STOP_SECONDS = 10.0
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

    def model(self) -> dict[str, Any]:
        """What ``/info`` tells of the model that answers."""
        described: dict[str, Any] = json.loads(get(self.port, "/info")[1])["models"][0]
        return {key: described[key] for key in ("name", "file", "version", "device")}


class Bare(Process):
    """A loop around the network in place of a server, on a free port; it takes connections within the block.

    Args:
        log: where its log goes.
        door: ``zmq`` or ``http``.
        options: what it serves: ``--model``, ``--device``.
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
