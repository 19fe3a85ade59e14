"""What reads bytes from strangers, each a function that for any bytes returns or raises a deliberate error."""

from __future__ import annotations

import json
import struct
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from quadfollow_core import wire
from quadfollow_core.codec import decode_depth, decode_image
from quadfollow_core.errors import QuadfollowError
from quadfollow_sim.quadsim.engineio import parse_packet
from quadfollow_sim.quadsim.frames import parse_sensor_frame
from quadfollow_sim.recording.reader import read_messages

MAX_PIXELS = 100_000
CORPUS = Path(__file__).parent / "corpus"
LENGTH = struct.Struct("<I")

Target = Callable[[bytes], object]


def request(data: bytes) -> None:
    """A request of the wire, down to its pixels."""
    asked = wire.decode_request(unpacked(data))
    if not isinstance(asked, wire.Ping):
        asked.decode(MAX_PIXELS)
        asked.decode_depth(MAX_PIXELS)


def replies(data: bytes) -> None:
    """What a client reads: a reply, a publication, a publication with its picture; all three see the same bytes."""
    parts = unpacked(data)
    errors = [_attempt(read, parts) for read in (wire.decode_reply, wire.decode_publication, wire.decode_picture)]
    if all(errors):
        raise errors[0] or QuadfollowError


def image(data: bytes) -> None:
    """A JPEG, PNG or WebP; a PNG as depth, too."""
    decode_image(data, max_pixels=MAX_PIXELS)
    if data.startswith(b"\x89PNG"):
        decode_depth(data, max_pixels=MAX_PIXELS)


def sensor_frame(data: bytes) -> None:
    """A packet of QuadSim's with a sensor frame in it."""
    parse_sensor_frame(parse_packet(data.decode(errors="surrogateescape")).argument())


def recording(data: bytes) -> int:
    """An MCAP file, from front to back."""
    with tempfile.NamedTemporaryFile(suffix=".mcap") as file:
        file.write(data)
        file.flush()
        return sum(1 for _ in read_messages(Path(file.name)))


TARGETS: Mapping[str, Target] = {
    "request": request,
    "replies": replies,
    "image": image,
    "sensor_frame": sensor_frame,
    "recording": recording,
}


def survives(target: Target, data: bytes) -> bool:
    """Whether a target took the bytes; False where it refused them with an error of ours. Any other is a finding."""
    try:
        target(data)
    except QuadfollowError as error:
        json.dumps(str(error))  # it must be possible to tell a client
        return False
    return True


def packed(parts: Sequence[bytes]) -> bytes:
    """Message parts as one string of bytes: each after its length."""
    return b"".join(LENGTH.pack(len(part)) + part for part in parts)


def unpacked(data: bytes) -> list[bytes]:
    """Any bytes as message parts; a length beyond the end means the rest."""
    parts = []
    while data and len(parts) < 6:
        length = LENGTH.unpack_from(data.ljust(LENGTH.size, b"\0"))[0]
        parts.append(data[LENGTH.size :][:length])
        data = data[LENGTH.size + length :]
    return parts


def _attempt(read: Callable[[Sequence[bytes]], object], parts: Sequence[bytes]) -> QuadfollowError | None:
    try:
        read(parts)
    except QuadfollowError as error:
        return error
    return None
