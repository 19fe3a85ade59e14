"""Keeps one server process running: starts it, replaces it when it died or hangs, passes signals on, ends with it.

The process tells over a pipe what :mod:`quadfollow_server.heartbeat` writes there. The pipe ends when the process
does, so watching it shows both silence and death. Ports that the process chose freely are kept for the next one.
"""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Sequence

from quadfollow_server.caught_signals import CaughtSignals, Terminal
from quadfollow_server.child import Child, told

log = logging.getLogger(__name__)

TICK = 0.25
"""Seconds between two looks at a silent process."""
STOP_SECONDS = 4.0
"""Time that a process asked to stop gets; its own way out takes less."""
START_SECONDS = 600.0
"""Time within which a process must be ready: an accelerator may compile for minutes."""
FAILED_STARTS = 5
"""Restarts in a row that do not become ready, after which the supervisor gives up."""
CALM_SECONDS = 30.0
"""A process that was ready for so long died for a reason of its own, and its successor starts at once."""
BACKOFF = (0.5, 5.0)
"""Seconds before the second restart in a row, and the most they double up to."""
STOPS = (signal.SIGTERM, signal.SIGINT)
ASKED_TO = frozenset({0, 130, *(128 + number for number in (*STOPS, signal.SIGHUP))})
"""Exit codes of a process that stopped as it was told, also where it had not got as far as to handle signals."""


class Supervisor:
    """Supervises one server process at a time; :meth:`run` it in the main thread.

    Args:
        command: starts a server process; ports and ``--heartbeat`` are added to it.
        hang_seconds: longest silence of a process that is ready.
    """

    def __init__(self, command: Sequence[str], hang_seconds: float) -> None:
        self._command = tuple(command)
        self._hang_seconds = hang_seconds
        self._ports: tuple[str, ...] = ()
        self._stop_by: float | None = None

    def run(self) -> int:
        """Supervise until the server has ended for good; return the exit code, 128 + number after a signal."""
        with CaughtSignals((*STOPS, signal.SIGHUP)) as self._signals:
            self._terminal = Terminal()
            failed, wait, served = 0, 0.0, False
            while True:
                child = self._live()
                if self._stop_by is not None:
                    return 0 if child.code in ASKED_TO else child.code
                served = served or child.is_ready
                failed = 0 if child.is_ready else failed + 1
                meant_to_end = child.code == 0 and not child.is_ready
                if meant_to_end or not served or failed >= FAILED_STARTS:
                    return self._give_up(child, failed)
                wait = 0.0 if child.ready_seconds > CALM_SECONDS else wait
                log.error("server process %s; the next one starts in %g s", told(child), wait)
                if self._pause(wait):
                    return 0
                wait = min(max(2 * wait, BACKOFF[0]), BACKOFF[1])

    def _give_up(self, child: Child, failed: int) -> int:
        if failed > 1:
            log.error("server process %s; giving up after %d starts in a row that failed", told(child), failed)
        else:  # a deliberate error has been told by the process itself
            log.log(logging.ERROR if child.code > 128 else logging.INFO, "server process %s", told(child))
        return child.code

    def _live(self) -> Child:
        """Start a process and watch it to its end."""
        with Child((*self._command, *self._ports)) as child:
            log.info("server process %d started", child.pid)
            waited, last = 0.0, time.monotonic()
            while not child.ended:
                self._obey(child)
                now = time.monotonic()
                heard = child.listen()
                # For a sign of life, or for being ready: until then it may beat all the while that its device hangs.
                # No more than a tick at a time: a supervisor that was itself suspended heard nothing either.
                waited, last = 0.0 if heard and child.is_ready else waited + min(now - last, TICK), now
                if waited > (self._hang_seconds if child.is_ready else START_SECONDS):
                    what = "hangs: no heartbeat for" if child.is_ready else "is not ready after"
                    log.error("server process %d %s %.1f s; killing it", child.pid, what, waited)
                    break
                if self._stop_by is not None and now > self._stop_by:
                    log.error("server process %d did not stop within %g s; killing it", child.pid, STOP_SECONDS)
                    break
            self._ports = child.ports or self._ports
        return child

    def _obey(self, child: Child) -> None:
        """Wait for a tick, for news of the process or for signals, and pass those on."""
        for number in self._signals.wait(TICK, child.pipe):
            if self._is_stop(number) and self._stop_by is None:
                log.info("%s: stopping server process %d", signal.Signals(number).name, child.pid)
                self._stop_by = time.monotonic() + STOP_SECONDS
            # Before it listens it has read no file that could be read anew, and no handler that a signal would find.
            if self._is_stop(number) or child.ports:
                child.signal(number)

    def _pause(self, seconds: float) -> bool:
        """Wait; return whether to stop instead of going on."""
        end = time.monotonic() + seconds
        while True:  # once at least: what ended the process, such as Ctrl-C, may have been meant for both
            if any(self._is_stop(number) for number in self._signals.wait(max(end - time.monotonic(), 0.0))):
                return True
            if time.monotonic() >= end:
                return False

    def _is_stop(self, number: int) -> bool:
        return number in STOPS or (number == signal.SIGHUP and self._terminal.is_gone)
