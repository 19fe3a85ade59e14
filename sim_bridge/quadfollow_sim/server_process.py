"""A server of our own: ``quadfollow serve`` as a subprocess that never outlives us."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from quadfollow_core.errors import Unavailable
from quadfollow_core.http_client import HttpClient
from quadfollow_sim.signals import stopping

READY_SECONDS = 90.0
"""Longest time until the server has loaded its model and run its warm-up."""
STOP_SECONDS = 10.0
"""Time for a graceful end; then it is killed."""
TAIL = 20
"""Lines of its log that are shown when it died."""
SETTINGS = "QUADFOLLOW_SERVE_"
"""What the variables begin with that set a server's options."""
_DIE_WITH_PARENT = 1
"""Linux's PR_SET_PDEATHSIG."""


class ServerProcess:
    """Starts ``quadfollow serve`` on free ports of this machine; use it as a context manager.

    Within, the server is ready. At the end it is asked to stop, then made to; its whole process group goes with it.

    Args:
        log: file that its log goes to.
        model: path or name of a shipped model.
        device: where it runs.
        tracker: how it follows targets.
        options: further words of the command.
        from_environment: whether QUADFOLLOW_SERVE_… may set what is not said here.

    Raises:
        Unavailable: the server ended or was not ready in time; the message has the end of its log.
    """

    def __init__(
        self,
        log: Path,
        *,
        model: str | None = None,
        device: str = "auto",
        tracker: str = "kalman",
        options: Sequence[str] = (),
        from_environment: bool = True,
    ) -> None:
        self._log = log
        self._model = model
        self._device = device
        self._tracker = tracker
        self._options = tuple(options)
        self._from_environment = from_environment
        self._process: subprocess.Popen[bytes] | None = None
        self.port, self.zmq_port, self.pub_port = free_ports(3)

    @property
    def url(self) -> str:
        """Address of the HTTP door."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def address(self) -> str:
        """Address of the ZeroMQ door."""
        return f"tcp://127.0.0.1:{self.zmq_port}"

    @property
    def pub_address(self) -> str:
        """Address of the socket that results are published on."""
        return f"tcp://127.0.0.1:{self.pub_port}"

    @property
    def pid(self) -> int:
        """The supervisor's process number."""
        if self._process is None:
            raise Unavailable("the server is not running")
        return self._process.pid

    def __enter__(self) -> ServerProcess:
        try:
            self._start()
            self.wait_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def died(self) -> Unavailable | None:
        """The error that says the server has ended, None while it runs."""
        if self._process is None or self._process.poll() is None:
            return None
        return Unavailable(f"the server ended with exit code {self._process.returncode}; its log ends:\n{self._tail()}")

    def stop(self) -> None:
        """End the server and everything it started."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def _start(self) -> None:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        # A KeyboardInterrupt raised while the process forks is swallowed, so a signal waits until that is done.
        with self._log.open("wb") as log, stopping() as stop:
            # A process group of its own: Ctrl-C reaches us, and we end the server when the flight has ended.
            self._process = subprocess.Popen(
                self._command(),
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )
        if stop():
            raise KeyboardInterrupt

    def _command(self) -> list[str]:
        ports = ("--port", self.port, "--zmq-port", self.zmq_port, "--pub-port", self.pub_port)
        model = () if self._model is None else ("--model", self._model)
        options = (
            "--host",
            "127.0.0.1",
            *ports,
            "--device",
            self._device,
            "--tracker",
            self._tracker,
            *model,
            *self._options,
        )
        program = "from quadfollow_core.cli import main; main()"
        return [sys.executable, "-c", program, "serve", *map(str, options)]

    def _environment(self) -> dict[str, str]:
        hidden = () if self._from_environment else (SETTINGS,)
        return {name: value for name, value in os.environ.items() if not name.startswith(hidden)}

    def wait_ready(self) -> None:
        """Wait until frames can be answered, for the first time or again.

        Raises:
            Unavailable: the server ended or was not ready in time.
        """
        end = time.monotonic() + READY_SECONDS
        with HttpClient(self.url, timeout=2.0) as client:
            while not client.is_ready():
                if (error := self.died()) is not None:
                    raise error
                if time.monotonic() > end:
                    raise Unavailable(
                        f"the server was not ready after {READY_SECONDS:g} s; its log ends:\n{self._tail()}"
                    )
                time.sleep(0.05)

    def _tail(self) -> str:
        lines = self._log.read_text(errors="replace").splitlines()[-TAIL:]
        return "\n".join(f"  {line}" for line in lines) or "  (empty)"


def free_ports(count: int) -> list[int]:
    """Find TCP ports of this machine that are free now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def _die_with_parent() -> None:
    """Ask Linux to send this process SIGTERM when its parent is gone, however that ended."""
    if _LIBC is not None:
        _LIBC.prctl(_DIE_WITH_PARENT, signal.SIGTERM)
