"""Writes moments to MCAP, so that whoever kills the recorder takes at most the last second with it."""

from __future__ import annotations

import contextlib
import errno
import json
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from mcap.writer import CompressionType, Writer
from mcap_protobuf.schema import register_schema

from quadfollow_core.errors import BadInput, QuadfollowError, Unavailable
from quadfollow_sim.answers import well_formed
from quadfollow_sim.recording.messages import RESULT_SCHEMA, Level, Message, log_message, messages_of, nanoseconds
from quadfollow_sim.recording.moment import Moment
from quadfollow_sim.recording.retention import Retention, next_file

FLUSH = 1.0
"""Seconds after which what was written is in the file."""
NOTICE = "People are in these pictures: keep them no longer than you need, and from whoever has no business with them."


class Tape:
    """A recording being written; use it as a context manager. Nothing is overwritten: a taken name gets a number.

    Args:
        path: ``NAME.mcap``; further files are ``NAME-2.mcap`` and so on.
        retention: what is kept of all files of that name, those of earlier recordings among them.
        origin: where the pictures come from, noted in the file.

    Raises:
        BadInput: not a name that can be written.
        Unavailable: the disk is full.
    """

    def __init__(self, path: Path, retention: Retention | None = None, origin: str = "") -> None:
        if path.suffix != ".mcap":
            raise BadInput(f"a recording is a file NAME.mcap, got {path}")
        self.files: list[Path] = []
        """Those written so far, deleted ones among them."""
        self.deleted: list[Path] = []
        self.pictures = 0
        self._path = path
        self._retention = retention or Retention()
        self._origin = origin
        self._states: dict[str, str] = {}
        self._reel = self._next()

    def __enter__(self) -> Tape:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def write(self, moment: Moment) -> None:
        """Add a picture and what was answered; a change of its track's state goes to the log.

        Raises:
            BadMessage: the answer is not of the wire's form; nothing of it was written.
            Unavailable: the disk is full; what was written stays readable.
        """
        with well_formed():
            messages = list(messages_of(moment))
        with _named(self._reel.path):
            for message in messages:
                self._reel.add(message, moment.time, moment.stream)
            self.pictures += moment.image is not None
            self._note_state(moment)
            self.tick()

    def log(self, time: float, level: Level, text: str) -> None:
        """Add a line to the recording's log."""
        with _named(self._reel.path):
            self._reel.add(log_message(time, level, text), time)
            self.tick()

    def tick(self) -> None:
        """Bring to the disk what has waited for a second, and go on to a new file where this one is full."""
        with _named(self._reel.path):
            self._reel.tick()
            if self._retention.is_full(self._reel.size, self._reel.age):
                self._reel.close()
                self._reel = self._next()

    def close(self) -> None:
        """Finish the file with its index."""
        with _named(self._reel.path):
            self._reel.close()

    def _next(self) -> _Reel:
        with _named(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self.deleted += self._retention.prune(self._path)
            reel = _Reel(next_file(self._path), self._origin, self._retention.chunk)
        self.files.append(reel.path)
        return reel

    def _note_state(self, moment: Moment) -> None:
        state = (moment.body.get("track") or {}).get("state")
        before = self._states.get(moment.stream, "nothing yet")
        if state is not None and state != before:
            self._states[moment.stream] = state
            text = f"{moment.stream or 'camera'}: {before} -> {state}"
            self._reel.add(log_message(moment.time, "info", text), moment.time)


class _Reel:
    """One MCAP file."""

    def __init__(self, path: Path, origin: str, chunk: int) -> None:
        self.path = path
        self._file: BinaryIO = path.open("xb")
        self._began = self._flushed = time.monotonic()
        self._schemas: dict[str, int] = {}
        self._channels: dict[tuple[str, str], int] = {}
        # JPEGs do not get smaller, and a recorder has no time to try.
        self._writer = Writer(self._file, chunk_size=chunk, compression=CompressionType.NONE)
        self._closed = False
        with self._giving_up():
            self._writer.start("", f"quadfollow {version('quadfollow')}")
            self._writer.add_metadata("quadfollow", {"from": origin, "notice": NOTICE})
            self._writer.flush()

    @property
    def size(self) -> int:
        """Bytes that were flushed."""
        return 0 if self._closed else self._file.tell()

    @property
    def age(self) -> float:
        """Seconds since it was begun."""
        return time.monotonic() - self._began

    def add(self, message: Message, when: float, stream: str = "") -> None:
        channel = self._channel(message, stream)
        content = message.content
        data = json.dumps(content).encode() if isinstance(content, dict) else content.SerializeToString()
        stamp = nanoseconds(when)
        with self._giving_up():
            self._writer.add_message(channel, stamp, data, stamp)

    def tick(self) -> None:
        if time.monotonic() - self._flushed >= FLUSH and not self._closed:
            with self._giving_up():
                self._writer.flush()
            self._flushed = time.monotonic()

    def close(self) -> None:
        if self._closed:
            return
        with self._giving_up():
            self._writer.finish()
            self._file.close()
        self._closed = True

    def _channel(self, message: Message, stream: str) -> int:
        """The number of a topic's channel; the first message of a topic makes it."""
        key = (stream, message.topic)
        if key not in self._channels:
            encoding = "json" if isinstance(message.content, dict) else "protobuf"
            schema = self._schema(message.content)
            metadata = {"stream": stream} if stream else {}
            self._channels[key] = self._writer.register_channel(message.topic, encoding, schema, metadata)
        return self._channels[key]

    def _schema(self, content: Any) -> int:
        known, writer = self._schemas, self._writer
        if isinstance(content, dict):
            name = RESULT_SCHEMA["title"]
            if name not in known:
                known[name] = writer.register_schema(name, "jsonschema", json.dumps(RESULT_SCHEMA).encode())
            return known[name]
        name = type(content).DESCRIPTOR.full_name
        if name not in known:
            known[name] = register_schema(writer, type(content))
        return known[name]

    @contextlib.contextmanager
    def _giving_up(self) -> Iterator[None]:
        """Close the file as it is where it cannot be written any more."""
        try:
            yield
        except OSError:
            self._closed = True
            with contextlib.suppress(OSError):
                self._file.close()
            raise


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """Say in our words why a file cannot be written."""
    try:
        yield
    except OSError as error:
        raise _known(error, path) from error


def _known(error: OSError, path: Path) -> QuadfollowError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return Unavailable(
            f"no room left for the recording {path} ({error.strerror}): free some space or limit it with --max-size; "
            "what was recorded until now can be read"
        )
    return BadInput(f"the recording {path} cannot be written: {error.strerror or error}")
