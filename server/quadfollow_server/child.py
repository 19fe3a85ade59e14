"""One server process, as its supervisor sees it: a pid, a pipe it speaks through, and how it ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

TRACE_SECONDS = 0.3
"""Time to write where each thread stands before it is killed."""


class Child:
    """A server process, started at once; one that still runs at the end of its block is killed.

    Args:
        command: starts it; ``--heartbeat`` with the pipe is added.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self.pipe, writing = os.pipe()
        os.set_blocking(self.pipe, False)
        try:
            self._process = subprocess.Popen([*command, f"--heartbeat={writing}"], pass_fds=(writing,))
        except BaseException:
            os.close(self.pipe)
            raise
        finally:
            os.close(writing)
        self._unread = b""
        self._ready_since: float | None = None
        self._ended_at = 0.0
        self.ended = False
        """Whether its pipe has ended, as it does with the process."""
        self.ports: tuple[str, ...] = ()
        """Options that give its successor the same ports; none before it listens."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.ended:
            self._kill()
        self._process.wait()
        self._ended_at = time.monotonic()
        os.close(self.pipe)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def code(self) -> int:
        """Its exit code, once its block is over; 128 + number where a signal ended it."""
        code = self._process.returncode
        return 128 - code if code < 0 else code

    @property
    def is_ready(self) -> bool:
        """Whether it was ever ready to answer frames."""
        return self._ready_since is not None

    @property
    def ready_seconds(self) -> float:
        """For how long it was ready."""
        return 0.0 if self._ready_since is None else self._ended_at - self._ready_since

    def listen(self) -> bool:
        """Take in what it said; return whether it said anything."""
        try:
            said = os.read(self.pipe, 65536)
        except BlockingIOError:
            return False
        self.ended = not said
        *lines, self._unread = (self._unread + said).split(b"\n")
        for line in lines:
            word, _, rest = line.partition(b" ")
            if word == b"ready":
                self._ready_since = time.monotonic()
            elif word == b"listening":
                ports = json.loads(rest)
                names = {"--port": "http", "--zmq-port": "zmq", "--pub-port": "pub"}
                self.ports = tuple(f"{option}={ports[name]}" for option, name in names.items())
        return True

    def signal(self, number: int) -> None:
        """Send it a signal."""
        with suppress(ProcessLookupError):
            self._process.send_signal(number)

    def _kill(self) -> None:
        """Have it write where its threads stand, if it still can, and kill it."""
        self.signal(signal.SIGQUIT)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(TRACE_SECONDS)
        self._process.kill()


def told(child: Child) -> str:
    """How a process ended, in words."""
    code = child.code
    if code > 128 and code - 128 in set(signal.Signals):
        how = f"was ended by {signal.Signals(code - 128).name}"
    else:
        how = f"ended with exit code {code}"
    return f"{child.pid} {how} " + (f"after {child.ready_seconds:.1f} s" if child.is_ready else "before it was ready")
