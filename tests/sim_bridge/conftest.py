"""A peer that speaks the server's wire on a real socket and answers as each test wants it to."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import zmq
from numpy.typing import NDArray
from tests.sim_bridge.unhurried import ClientInStep, SteppedClock

from quadfollow_core import stream_client, wire
from quadfollow_core.cli import main
from quadfollow_core.codec import encode_jpeg, encode_png
from quadfollow_core.errors import QuadfollowError
from quadfollow_core.locate import Rule, Segmentation, locate
from quadfollow_core.request import FrameRequest, Result
from quadfollow_core.resize import TARGET, channels_from_classes, fit_frame
from quadfollow_sim import bridge, closed_loop, drawn, eyes, flight, pace, sortie, world
from quadfollow_sim.drawn import DrawnSource
from quadfollow_sim.walk import LENGTH
from quadfollow_sim.world import Observation

Answer = Callable[[FrameRequest], Result | None]


class Peer(threading.Thread):
    """A ROUTER in a thread: pings get their pong, frames what ``answer`` makes of them (None: silence)."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(daemon=True)
        self.answer = answer
        self.requests: list[FrameRequest] = []
        self._over = threading.Event()
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.linger = 0
        self._socket.bind("tcp://127.0.0.1:*")
        self.address = self._socket.last_endpoint.decode()

    def run(self) -> None:
        """Serve until stopped."""
        with self._context, self._socket:
            while not self._over.is_set():
                if self._socket.poll(10):
                    sender, *parts = self._socket.recv_multipart()
                    for result in self._serve(parts):
                        self._socket.send_multipart([sender, *wire.encode_reply(result)])

    def stop(self) -> None:
        """Go away for good."""
        self._over.set()
        self.join()

    def _serve(self, parts: list[bytes]) -> Iterator[Result]:
        try:
            request = wire.decode_request(parts)
        except QuadfollowError as error:
            number = wire.decode_header(parts).get("id")
            yield Result({"type": "error", "id": number, "code": error.code, "detail": str(error)})
            return
        if isinstance(request, wire.Ping):
            yield Result({"type": "pong", "id": request.id})
            return
        self.requests.append(request)
        if (result := self.answer(request)) is not None:
            yield result


def red(frame: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """The drawn target's own colours: far more red than green or blue."""
    pixels = frame.astype(np.int16)
    return np.asarray(pixels[:, :, 0] > 4 * pixels[:, :, 1:].max(axis=2) + 20)


def by_colour(request: FrameRequest, size: tuple[int, int] = (256, 256)) -> Result:
    """Answer a frame as a server would whose network knows the target by colour."""
    frame = request.decode()
    image, letterbox = fit_frame(frame, size)
    classes = np.where(red(image), TARGET, 0).astype(np.uint8)
    seen = Segmentation(classes, (classes // 2) * np.uint8(255), letterbox, (frame.shape[1], frame.shape[0]))
    body = {"type": "result", "id": request.id, "held_ms": 1.5, "timings": {"infer_ms": 1.0}}
    body |= {"frame": {"width": frame.shape[1], "height": frame.shape[0]}}
    body |= locate(seen, Rule(128, 8), request.camera, request.decode_depth()).as_dict()
    if "mask:png" not in request.want:
        return Result(body)
    shape = {"encoding": "png", "width": size[0], "height": size[1], "mask_from_frame": asdict(letterbox)}
    return Result(body | {"mask": shape}, encode_png(classes))


@pytest.fixture
def start_peer() -> Iterator[Callable[..., Peer]]:
    """Start peers; all are gone at the end."""
    with contextlib.ExitStack() as stack:

        def start(answer: Answer = by_colour) -> Peer:
            peer = Peer(answer)
            peer.start()
            stack.callback(peer.stop)
            return peer

        yield start


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SteppedClock:
    """The real clock of a flight, which moves by what the flight waits and by nothing else."""
    stepped = SteppedClock()
    for module in (closed_loop, eyes, pace, sortie):
        monkeypatch.setattr(module, "time", stepped)
    return stepped


@pytest.fixture
def in_step(monkeypatch: pytest.MonkeyPatch) -> type[ClientInStep]:
    """Clients by whose waiting alone time passes: no picture is skipped, and every answer is there when it is due.

    Also the command ``fly`` flies with them. The kind is this test's own, so what is set on it stays in the test.
    """
    clock = SteppedClock()
    for module in (bridge, drawn, pace, stream_client, world):
        monkeypatch.setattr(module, "time", clock)
    kind = type("InStep", (ClientInStep,), {"clock": clock})
    monkeypatch.setattr(flight, "StreamClient", kind)
    return kind


@pytest.fixture(scope="module")
def walk() -> list[Observation]:
    """The whole walk at 4 Hz of its own time, with depth."""
    return list(iter(DrawnSource(LENGTH, rate=4, with_depth=True).read, None))


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run the console command and return its exit code."""

    def run_it(*arguments: object) -> int:
        monkeypatch.setattr(sys, "argv", ["quadfollow", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0)

    return run_it


@pytest.fixture
def write_set() -> Callable[..., Path]:
    """Write a small set in the processed layout: frame ``i`` is ``i`` times ten grey, its target one pixel of row i."""

    def write(folder: Path, count: int = 3, prefix: str = "0_run1") -> Path:
        for part in ("images", "masks"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            classes = np.zeros((16, 16), dtype=np.uint8)
            classes[number, 4:10] = TARGET
            image = np.full((16, 16, 3), 10 * number, dtype=np.uint8)
            mask = channels_from_classes(classes).astype(np.uint8) * np.uint8(255)
            (folder / "images" / f"{prefix}cam1_{number:05d}.jpeg").write_bytes(encode_jpeg(image))
            (folder / "masks" / f"{prefix}_mask_{number:05d}.png").write_bytes(encode_png(mask))
        return folder

    return write
