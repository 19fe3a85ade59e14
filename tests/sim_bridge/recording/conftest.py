"""Moments to record, and a socket that publishes as a server does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq
from mcap.reader import make_reader
from mcap_protobuf.decoder import DecoderFactory
from tests.sim_bridge.unhurried import PATIENCE

from quadfollow_core import wire
from quadfollow_core.codec import encode_jpeg
from quadfollow_sim.recording.moment import Moment

BODY: dict[str, Any] = {
    "type": "result",
    "id": 7,
    "frame": {"width": 32, "height": 24},
    "target": {
        "centroid": [10.5, 12.0],
        "box": [8.0, 6.0, 13.0, 18.0],
        "area": 40.0,
        "confidence": 0.9,
        "distance": 3.5,
        "world": [1.0, 2.0, 0.8],
    },
    "people": [{"centroid": [20.0, 10.0], "box": [18.0, 5.0, 22.0, 15.0], "area": 30.0}],
    "track": {"state": "following", "space": "world", "position": [1.1, 2.1, 0.9]},
    "camera": {"fx": 30.0, "fy": 31.0, "cx": 16.0, "cy": 12.0, "pose": {"position": [4, 5, 6], "rpy": [0, 0.3, 1.0]}},
    "truth": {"target": [1.2, 2.2, 0.8]},
    "held_ms": 8.0,
}
PROGRAM = "from quadfollow_core.cli import main; main()"


def picture(number: int) -> bytes:
    """A small picture, another for each number."""
    return encode_jpeg(np.full((24, 32, 3), number % 250, dtype=np.uint8))


def moment(number: int, stream: str = "front", **body: Any) -> Moment:
    """A moment of the second ``number / 20`` of a recording."""
    return Moment(stream, 1_700_000_000 + number / 20, BODY | {"id": number} | body, picture(number))


def decoded(path: Path) -> list[tuple[str, str, float, Any]]:
    """Topic, schema, time and message of all that the public reader finds in a whole file."""
    with path.open("rb") as file:
        reader = make_reader(file, validate_crcs=True, decoder_factories=[DecoderFactory()])
        rows = []
        for schema, channel, record in reader.iter_messages():
            assert schema is not None
            decode = DecoderFactory().decoder_for(channel.message_encoding, schema)
            message = record.data if decode is None else decode(record.data)
            rows.append((channel.topic, schema.name, record.log_time / 1e9, message))
        return rows


class Publisher:
    """A server's PUB socket."""

    def __init__(self) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.XPUB)
        self._socket.linger = 0
        self._socket.bind("tcp://127.0.0.1:*")
        self.address = self._socket.last_endpoint.decode()

    def wait_for_subscriber(self) -> bytes:
        """Wait until somebody subscribes, and say to what."""
        assert self._socket.poll(1000 * PATIENCE), "nobody subscribed"
        return bytes(self._socket.recv())

    def publish(self, number: int, stream: str = "front", **body: Any) -> None:
        """Publish a picture with its result."""
        answer = BODY | {"id": number, "picture": {"encoding": "jpeg"}} | body
        self._socket.send_multipart(wire.encode_picture(stream, answer, picture(number)))

    def send(self, *parts: bytes) -> None:
        """Publish anything."""
        self._socket.send_multipart(parts)

    def close(self) -> None:
        """Go away."""
        self._context.destroy(0)


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    """A socket that publishes."""
    made = Publisher()
    yield made
    made.close()


@pytest.fixture
def start_program() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start console commands in processes of their own; all are gone at the end."""
    running: list[subprocess.Popen[str]] = []

    def start(*arguments: object, program: str = PROGRAM, **options: Any) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", program, *map(str, arguments)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        running.append(subprocess.Popen(command, **pipes, **options))  # type: ignore[call-overload]
        return running[-1]

    yield start
    for process in running:
        with suppress(ProcessLookupError):
            process.kill()
        process.communicate()
