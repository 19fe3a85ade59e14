"""Reads MCAP from front to back, also a file whose writer was killed: what is whole is read, a torn end is not."""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.records import Channel, Chunk, McapRecord, Schema
from mcap.records import Message as Record
from mcap.stream_reader import MAGIC_SIZE, breakup_chunk
from mcap.writer import MCAP0_MAGIC, CompressionType, Writer
from zstandard import ZstdError

from quadfollow_core.errors import BadDataset
from quadfollow_core.files import save_whole

PREFIX = struct.Struct("<BQ")
"""What each record begins with: its kind and its length."""
RECORDS: dict[int, Any] = {int(Opcode.CHANNEL): Channel, int(Opcode.SCHEMA): Schema, int(Opcode.CHUNK): Chunk}


DAMAGED = (McapError, KeyError, OverflowError, ValueError, struct.error, RuntimeError, ZstdError)
"""What reading bytes raises that are not those which were written; the last two come from decompressing them."""


@dataclass(slots=True)
class Damage:
    """What had to be left out of a recording."""

    records: int = 0
    """Records, mostly chunks of a second or several megabytes, that cannot be read."""
    messages: int = 0
    """Messages whose topic stood in such a record."""


@dataclass(frozen=True, slots=True)
class Heard:
    """One message of a recording."""

    channel: Channel
    schema: Schema | None
    record: Record

    @property
    def time(self) -> float:
        """Seconds since 1970."""
        return self.record.log_time / 1e9


def read_messages(path: Path, damage: Damage | None = None) -> Iterator[Heard]:
    """Read a recording's messages in the order they were written, holding one chunk at a time.

    Args:
        path: the recording.
        damage: counts what is left out since it cannot be read; None where nothing may be.

    Raises:
        BadDataset: not MCAP, or damaged in its midst where that is not counted.
    """
    schemas: dict[int, Schema] = {}
    channels: dict[int, Channel] = {}
    try:
        with path.open("rb") as file:
            for record in _records(file, damage):
                match record:
                    case Schema():
                        schemas[record.id] = record
                    case Channel():
                        channels[record.id] = record
                    case Record() if damage is not None and not _is_told(record, channels, schemas):
                        damage.messages += 1
                    case Record():
                        channel = channels[record.channel_id]
                        yield Heard(channel, schemas.get(channel.schema_id), record)
    except OSError as error:
        raise BadDataset(f"{path} cannot be read: {error.strerror}") from error
    except DAMAGED as error:
        raise BadDataset(f"{path} is no MCAP file, or damaged: {_told(error)}") from error


def _told(error: Exception) -> str:
    """What is wrong, in the error's words where it has any; a KeyError has but a key."""
    return repr(error) if isinstance(error, KeyError) or not str(error) else str(error)


def is_whole(path: Path) -> bool:
    """Whether a recording was finished, with its index."""
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) < 2 * MAGIC_SIZE:
            return False
        file.seek(-MAGIC_SIZE, os.SEEK_END)
        return file.read() == MCAP0_MAGIC


def repair(path: Path, whole: Path) -> tuple[int, Damage]:
    """Write what a broken recording holds to a file that has its index.

    Returns:
        The number of messages, and what had to be left out.

    Raises:
        BadDataset: not MCAP, or nothing in it.
    """
    count, damage = 0, Damage()

    def copy(part: Path) -> None:
        nonlocal count
        with part.open("wb") as file:
            writer = Writer(file, compression=CompressionType.NONE)
            writer.start("", "quadfollow")
            schemas: dict[int, int] = {0: 0}
            channels: dict[int, int] = {}
            for heard in read_messages(path, damage):
                channel, schema, record = heard.channel, heard.schema, heard.record
                if schema is not None and schema.id not in schemas:
                    schemas[schema.id] = writer.register_schema(schema.name, schema.encoding, schema.data)
                if channel.id not in channels:
                    about = (channel.topic, channel.message_encoding, schemas[channel.schema_id], channel.metadata)
                    channels[channel.id] = writer.register_channel(*about)
                times = {"log_time": record.log_time, "publish_time": record.publish_time}
                writer.add_message(channels[channel.id], data=record.data, sequence=record.sequence, **times)
                count += 1
            writer.finish()
        if not count:
            raise BadDataset(f"there is no message in {path}")

    save_whole(whole, copy)
    return count, damage


def _records(file: BinaryIO, damage: Damage | None) -> Iterator[McapRecord]:
    """Schemas, channels and messages, in chunks or not, up to the first record that is not all there."""
    if file.read(MAGIC_SIZE) != MCAP0_MAGIC:
        raise McapError("it does not begin as one")
    if damage is not None:
        yield from _told_outside_chunks(file)
    for kind, length in _heads(file):
        if kind == Opcode.DATA_END:
            return
        if kind != Opcode.MESSAGE and kind not in RECORDS:
            continue
        try:
            records = _parsed(kind, file.read(length))
        except DAMAGED:
            if damage is None:
                raise
            damage.records += 1
            continue
        if damage is not None and not records:  # a chunk of nothing but zeros
            damage.records += 1
        yield from records


def _told_outside_chunks(file: BinaryIO) -> Iterator[McapRecord]:
    """Schemas and channels that a finished recording repeats at its end, should the chunk that told them be damaged."""
    for kind, length in _heads(file):
        if kind in (Opcode.SCHEMA, Opcode.CHANNEL):
            with contextlib.suppress(*DAMAGED):
                yield from _parsed(kind, file.read(length))
    file.seek(MAGIC_SIZE)


def _heads(file: BinaryIO) -> Iterator[tuple[int, int]]:
    """Kind and length of each record that is all there, with the file at its content."""
    end = os.fstat(file.fileno()).st_size
    while len(prefix := file.read(PREFIX.size)) == PREFIX.size:
        kind, length = PREFIX.unpack(prefix)
        after = file.tell() + length
        if after > end:
            return
        yield kind, length
        file.seek(after)


def _is_told(message: Record, channels: dict[int, Channel], schemas: dict[int, Schema]) -> bool:
    """Whether a message's topic and its schema are known."""
    channel = channels.get(message.channel_id)
    return channel is not None and (channel.schema_id == 0 or channel.schema_id in schemas)


def _parsed(kind: int, data: bytes) -> list[McapRecord]:
    """A record, or all of a chunk."""
    stream = ReadDataStream(BytesIO(data))
    if kind == Opcode.MESSAGE:
        return [Record.read(stream, len(data))]
    record = RECORDS[kind].read(stream)
    return breakup_chunk(record, validate_crc=True) if isinstance(record, Chunk) else [record]
