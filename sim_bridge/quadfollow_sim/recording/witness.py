"""Records a flight from within, in a thread of its own: neither a slow nor a full disk ever holds the flight up."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import click

from quadfollow_core.errors import BadMessage, QuadfollowError
from quadfollow_core.stream_client import Fate
from quadfollow_sim.answers import reason_of
from quadfollow_sim.judge import Row
from quadfollow_sim.recording.messages import Level
from quadfollow_sim.recording.moment import moment_of_fate
from quadfollow_sim.recording.tape import Tape
from quadfollow_sim.world import Observation

WAITING = 256
"""Pictures that may wait for the disk; what is beyond is left out and counted."""
PATIENCE = 0.2
"""Seconds between two looks at whether something is to be flushed, or the flight is over."""
CLOSING = 10.0
"""Seconds that the last pictures are given to reach the disk."""

Seen = tuple[Observation, Fate]


class FlightRecorder:
    """Writes what a flight saw and was answered; use it as a context manager and as a witness of the flight.

    A picture's time is that of the world's clock, counted from the time of day at the first picture.

    Raises:
        BadInput, Unavailable: the file cannot be begun.
    """

    def __init__(self, path: Path, stream: str = "", origin: str = "flight") -> None:
        self.error: Exception | None = None
        """Why nothing was recorded any more."""
        self._seen = self._written = 0
        self._tape = Tape(path, origin=origin)
        self._stream = stream
        self._start: float | None = None
        self._waiting: queue.Queue[Seen] = queue.Queue(WAITING)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def __enter__(self) -> FlightRecorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def path(self) -> Path:
        """The file."""
        return self._tape.files[0]

    @property
    def left_out(self) -> int:
        """Pictures that were not written: the disk was too slow or full, or the answer none of the wire's form."""
        return self._seen - self._written

    def __call__(self, row: Row, observation: Observation, fate: Fate) -> None:
        """Hand a picture over; returns at once."""
        self._seen += 1
        if self.error is None:
            with contextlib.suppress(queue.Full):
                self._waiting.put_nowait((observation, fate))

    def close(self) -> None:
        """Let what waits reach the disk, and finish the file."""
        self._over.set()
        self._thread.join(CLOSING)

    def summary(self) -> dict[str, Any]:
        """What became of the recording, in plain values."""
        error = None if self.error is None else _told(self.error)
        return {"file": str(self.path), "pictures": self._tape.pictures, "left_out": self.left_out, "error": error}

    def _run(self) -> None:
        """Write until told to stop, or until the disk or anything else refuses."""
        try:
            with self._tape:
                self._record()
        except Exception as error:  # noqa: BLE001  # nobody else hears what ends a thread
            self.error = error
            click.echo(f"recording stopped, the flight goes on: {_told(error)}", err=True)

    def _record(self) -> None:
        while True:
            try:
                seen = self._waiting.get(timeout=PATIENCE)
            except queue.Empty:
                if self._over.is_set():
                    return
                self._tape.tick()
                continue
            try:
                self._write(*seen)
            except BadMessage as error:
                self._tape.log(time.time(), "warning", f"{seen[0].name} left out: {error}")
            else:
                self._written += 1

    def _write(self, observation: Observation, fate: Fate) -> None:
        if self._start is None:
            self._start = time.time() - observation.captured
        when = self._start + observation.captured
        if fate.outcome == "result":
            self._tape.write(moment_of_fate(self._stream, observation, fate, when))
            return
        reason = reason_of(fate) or "no answer"
        level: Level = "error" if fate.outcome == "error" else "warning"
        self._tape.log(when, level, f"{observation.name} {fate.outcome}: {reason}")


def _told(error: Exception) -> str:
    return str(error) if isinstance(error, QuadfollowError) else repr(error)
