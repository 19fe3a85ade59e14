"""Signals as something to wait for, so that nothing happens inside a handler."""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Sequence
from types import FrameType, TracebackType
from typing import Any, Self


class CaughtSignals:
    """Within its block these signals interrupt nothing; :meth:`wait` returns them. Main thread only."""

    def __init__(self, numbers: Sequence[signal.Signals]) -> None:
        self._numbers = numbers

    def __enter__(self) -> Self:
        self._reading, self._writing = os.pipe()
        for pipe in (self._reading, self._writing):
            os.set_blocking(pipe, False)
        self._wakeup_before = signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        self._before: dict[signal.Signals, Any] = {number: signal.signal(number, _nothing) for number in self._numbers}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup_before)
        os.close(self._reading)
        os.close(self._writing)

    def wait(self, seconds: float, *pipes: int) -> list[int]:
        """Wait for signals, for one of ``pipes`` to become readable or for the time to pass; return the signals."""
        ready, _, _ = select.select([self._reading, *pipes], [], [], seconds)
        return list(os.read(self._reading, 4096)) if self._reading in ready else []


class Terminal:
    """The terminal that this process was started at, if any: SIGHUP says that it was closed, or asks to read anew."""

    def __init__(self) -> None:
        self._was_there = _is_terminal()

    @property
    def is_gone(self) -> bool:
        """Whether there was one, and it was closed."""
        return self._was_there and not _is_terminal()


def _is_terminal() -> bool:
    return sys.__stdin__ is not None and os.isatty(sys.__stdin__.fileno())


def _nothing(number: int, frame: FrameType | None) -> None:
    """Python writes a signal's number to the pipe only if it has a handler."""
