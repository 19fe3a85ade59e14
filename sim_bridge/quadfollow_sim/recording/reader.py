"""Reads MCAP from front to back, also a file whose writer was killed: what is whole is read, a torn end is not."""

from __future__ import annotations

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

from quadfollow_core.errors import BadDataset
from quadfollow_core.files import save_whole

PREFIX = struct.Struct("<BQ")
"""What each record begins with: its kind and its length."""
RECORDS: dict[int, Any] = {int(Opcode.CHANNEL): Channel, int(Opcode.SCHEMA): Schema, int(Opcode.CHUNK): Chunk}


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


def read_messages(path: Path) -> Iterator[Heard]:
    """Read a recording's messages in the order they were written, holding one chunk at a time.

    Raises:
        BadDataset: not MCAP, or damaged in its midst.
    """
    schemas: dict[int, Schema] = {}
    channels: dict[int, Channel] = {}
    try:
        with path.open("rb") as file:
            for record in _records(file):
                match record:
                    case Schema():
                        schemas[record.id] = record
                    case Channel():
                        channels[record.id] = record
                    case Record():
                        channel = channels[record.channel_id]
                        yield Heard(channel, schemas.get(channel.schema_id), record)
    except OSError as error:
        raise BadDataset(f"{path} cannot be read: {error.strerror}") from error
    except (McapError, KeyError, OverflowError, ValueError, struct.error) as error:
        raise BadDataset(f"{path} is no MCAP file, or damaged: {error!r}") from error


def is_whole(path: Path) -> bool:
    """Whether a recording was finished, with its index."""
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) < 2 * MAGIC_SIZE:
            return False
        file.seek(-MAGIC_SIZE, os.SEEK_END)
        return file.read() == MCAP0_MAGIC


def repair(path: Path, whole: Path) -> int:
    """Write what a broken recording holds to a file that has its index, and return the number of messages.

    Raises:
        BadDataset: not MCAP, or nothing in it.
    """
    count = 0

    def copy(part: Path) -> None:
        nonlocal count
        with part.open("wb") as file:
            writer = Writer(file, compression=CompressionType.NONE)
            writer.start("", "quadfollow")
            schemas: dict[int, int] = {0: 0}
            channels: dict[int, int] = {}
            for heard in read_messages(path):
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
    return count


def _records(file: BinaryIO) -> Iterator[McapRecord]:
    """Schemas, channels and messages, in chunks or not, up to the first record that is not all there."""
    if file.read(MAGIC_SIZE) != MCAP0_MAGIC:
        raise McapError("it does not begin as one")
    end = os.fstat(file.fileno()).st_size
    while len(prefix := file.read(PREFIX.size)) == PREFIX.size:
        kind, length = PREFIX.unpack(prefix)
        if kind == Opcode.DATA_END or file.tell() + length > end:
            return
        if kind == Opcode.MESSAGE:
            yield Record.read(ReadDataStream(BytesIO(file.read(length))), length)
        elif kind in RECORDS:
            record = RECORDS[kind].read(ReadDataStream(BytesIO(file.read(length))))
            yield from breakup_chunk(record, validate_crc=True) if isinstance(record, Chunk) else [record]
        else:
            file.seek(length, os.SEEK_CUR)
