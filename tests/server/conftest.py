"""Tiny models that keep the contract, pictures they understand, and a server that runs them."""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx
import psutil
import pytest
import zmq
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from quadfollow_core import wire
from quadfollow_core.client_key import ClientKey
from quadfollow_core.codec import encode_png
from quadfollow_core.contract import METADATA_KEY, Contract
from quadfollow_core.request import Result
from quadfollow_server.keys import new_client
from quadfollow_server.running import RunningServer
from quadfollow_server.segmenter import ConstantSegmenter
from quadfollow_server.settings import Settings

WIDTH, HEIGHT = 64, 48
PATIENCE = 120.0
"""Seconds until a wait is given up: far above what anything here takes, so that a slow machine does not fail."""
Reply = dict[str, Any]


def colour_model(contract: Contract | None, *, width: int = WIDTH, height: int = HEIGHT) -> onnx.ModelProto:
    """Make a model that takes red pixels for the target and green ones for people."""

    def channel(name: str, index: str, compare: str, value: str) -> list[onnx.NodeProto]:
        return [
            helper.make_node("Gather", ["image", index], [f"{name}_plane"], axis=3),
            helper.make_node("Cast", [f"{name}_plane"], [f"{name}_number"], to=TensorProto.INT32),
            helper.make_node(compare, [f"{name}_number", value], [name]),
        ]

    nodes = [
        *channel("much_red", "red", "Greater", "high"),
        *channel("little_red", "red", "Less", "low"),
        *channel("much_green", "green", "Greater", "high"),
        *channel("little_green", "green", "Less", "low"),
        helper.make_node("And", ["much_red", "little_green"], ["is_target"]),
        helper.make_node("And", ["much_green", "little_red"], ["is_person"]),
        helper.make_node("Where", ["is_person", "one", "zero"], ["person_or_not"]),
        helper.make_node("Where", ["is_target", "two", "person_or_not"], ["classes"]),
        helper.make_node("Where", ["is_target", "full", "zero"], ["target_probability"]),
    ]
    constants = {
        **{"red": np.int64(0), "green": np.int64(1), "high": np.int32(128), "low": np.int32(100)},
        **{"zero": np.uint8(0), "one": np.uint8(1), "two": np.uint8(2), "full": np.uint8(255)},
    }
    graph = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", height, width, 3])],
        [
            helper.make_tensor_value_info(name, TensorProto.UINT8, ["N", height, width])
            for name in ("classes", "target_probability")
        ],
        [numpy_helper.from_array(np.array(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    if contract is not None:
        helper.set_model_props(model, {METADATA_KEY: contract.to_json()})
    return model


@pytest.fixture(scope="session")
def make_model() -> Callable[..., onnx.ModelProto]:
    """The function that makes a colour model."""
    return colour_model


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two model files: ``colours`` of 64x48 and, in ``second-file.onnx``, ``small`` of 32x32."""
    folder = tmp_path_factory.mktemp("models")
    first, second = folder / "colours.onnx", folder / "second-file.onnx"
    onnx.save(colour_model(Contract("colours", WIDTH, HEIGHT)), first)
    onnx.save(colour_model(Contract("small", 32, 32), width=32, height=32), second)
    return first, second


@pytest.fixture(scope="session")
def picture() -> NDArray[np.uint8]:
    """A 128x96 frame with a red target at columns 40 to 60, rows 20 to 60, and a green person at its right."""
    frame = np.full((96, 128, 3), 110, dtype=np.uint8)
    frame[20:60, 40:60] = (220, 20, 20)
    frame[30:70, 90:100] = (20, 220, 20)
    return frame


@pytest.fixture(scope="session")
def png(picture: NDArray[np.uint8]) -> bytes:
    """The picture as a PNG file."""
    return encode_png(picture)


@pytest.fixture(scope="session")
def settings(models: tuple[Path, Path]) -> Settings:
    """Both models on free ports, with limits small enough to break."""
    return Settings(
        tuple(map(str, models)), port=0, zmq_port=0, pub_port=0, max_body_bytes=1_000_000, max_pixels=2_000_000
    )


@pytest.fixture(scope="session")
def server(settings: Settings) -> Iterator[RunningServer]:
    """A real server of both models, shared by all tests that leave it as they found it."""
    with RunningServer(settings) as running:
        yield running


@pytest.fixture
def http(server: RunningServer, png: bytes) -> Iterator[httpx.Client]:
    """A client of the shared server, which must still answer a good frame when the test is over."""
    with httpx.Client(base_url=server.url, timeout=30) as client:
        yield client
        assert client.post("/segment", content=png).json()["target"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of keys."""
    return tmp_path / "keys"


@pytest.fixture
def key(folder: Path) -> ClientKey:
    """The key of a client that may come in."""
    return new_client(folder, "drone")


def bearer(key: ClientKey) -> dict[str, str]:
    """How a key is shown."""
    return {"authorization": f"Bearer {key.api_key}"}


def png_file(side: int, bits: int, colours: int, rows: bytes) -> bytes:
    """A PNG file that promises a square of so many pixels a side, of so many bits and that type of colours."""
    head = struct.pack(">IIBBBBB", side, side, bits, colours, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(rows, 1)), (b"IEND", b"")]
    packed = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


@pytest.fixture(scope="session")
def huge_png() -> bytes:
    """A tiny PNG file whose header promises 50,000 x 50,000 pixels."""
    return png_file(50_000, 8, 2, bytes(100))


def has_ipv6() -> bool:
    """Whether this machine has the loopback of IPv6."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


class Gate:
    """A pause that says when it is reached and ends when it is opened."""

    def __init__(self) -> None:
        self._reached = threading.Semaphore(0)
        self._opened = threading.Event()

    def __call__(self) -> None:
        """Wait until the gate is opened."""
        self._reached.release()
        if not self._opened.wait(PATIENCE):
            raise TimeoutError("the gate was never opened")

    def wait_reached(self) -> None:
        """Wait until somebody stands at the gate."""
        if not self._reached.acquire(timeout=PATIENCE):
            raise TimeoutError("nobody came to the gate")

    def open(self) -> None:
        """Let everybody through from now on."""
        self._opened.set()

    def shut(self) -> None:
        """Stop whoever comes from now on; those who went through are forgotten."""
        self._opened.clear()
        while self._reached.acquire(blocking=False):
            pass


@pytest.fixture
def gate() -> Iterator[Gate]:
    """A closed gate, opened at the latest when the test ends."""
    closed = Gate()
    yield closed
    closed.open()


@pytest.fixture
def constant() -> Callable[..., ConstantSegmenter]:
    """Make a fake that sees a target in every frame, after a pause."""
    mask = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    mask[10:30, 20:30] = 2

    def make(pause: Callable[[], object] = lambda: None, **options: Any) -> ConstantSegmenter:
        return ConstantSegmenter(mask, pause=pause, **options)

    return make


class Dealer:
    """A client written from the wire's documentation alone."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], address: str, image: bytes, **options: Any) -> None:
        self.socket = context.socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.rcvtimeo = self.socket.sndtimeo = int(1000 * PATIENCE)
        for name, value in options.items():
            setattr(self.socket, name, value)
        self.socket.connect(address)
        self._image = image

    def send(self, number: object = 0, *, data: bytes = b"", depth_data: bytes | None = None, **header: Any) -> None:
        """Send one frame."""
        self.raw(*wire.encode_request({"id": number} | header, data or self._image, depth_data))

    def raw(self, *parts: Any) -> None:
        """Send any parts at all."""
        self.socket.send_multipart(list(parts))

    def read(self) -> Result:
        """Read one reply."""
        return wire.decode_reply(self.socket.recv_multipart())

    def ask(self, number: object = 0, **options: Any) -> Reply:
        """Send one frame and read one reply's body."""
        self.send(number, **options)
        return self.read().body


@pytest.fixture
def dealer(png: bytes) -> Iterator[Callable[..., Dealer]]:
    """Connect raw ZeroMQ clients; closed when the test ends."""
    with zmq.Context() as context:
        made: list[Dealer] = []

        def connect(address: str, **options: Any) -> Dealer:
            made.append(Dealer(context, address, png, **options))
            return made[-1]

        yield connect
        for client in made:
            client.socket.close(0)


class Served:
    """A running ``quadfollow serve`` and what it has said so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self._said = threading.Condition()
        self._ended = False
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    @property
    def ports(self) -> dict[str, int]:
        """The ports that it said it listens on."""
        found: dict[str, int] = json.loads(self.wait_for(" listening ").partition(" listening ")[2])
        return found

    @property
    def url(self) -> str:
        """Its HTTP door."""
        return f"http://127.0.0.1:{self.ports['http']}"

    @property
    def address(self) -> str:
        """Its ZeroMQ door."""
        return f"tcp://127.0.0.1:{self.ports['zmq']}"

    @property
    def child(self) -> psutil.Process:
        """The one process that the supervisor runs now."""
        (child,) = psutil.Process(self.process.pid).children()
        return child

    def said(self, text: str) -> list[str]:
        """The lines so far that hold a text."""
        return [line for line in self.lines if text in line]

    def wait_for(self, text: str, times: int = 1, seconds: float = PATIENCE) -> str:
        """Wait until a text was said so many times, and return the last of those lines."""
        with self._said:
            self._said.wait_for(lambda: len(self.said(text)) >= times or self._ended, seconds)
        assert len(self.said(text)) >= times, "".join(self.lines)
        return self.said(text)[times - 1]

    def wait_ready(self, times: int = 1) -> None:
        """Wait until it was ready so many times."""
        self.wait_for(" ready {", times)

    def join(self) -> None:
        """Wait until nobody can say anything any more."""
        self._reader.join()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._said:
                self.lines.append(line)
                self._said.notify_all()
        with self._said:
            self._ended = True
            self._said.notify_all()


@contextmanager
def serving(*options: str, stdin: Any = subprocess.DEVNULL, stop_seconds: float = PATIENCE) -> Iterator[Served]:
    """Run ``quadfollow serve`` for real on free ports; in the end nothing of it may be left.

    Its supervisor gives a server that is to stop ``stop_seconds``, so that a slow machine's is not killed meanwhile.
    """
    patient = f"from quadfollow_server import supervisor; supervisor.STOP_SECONDS = {stop_seconds}"
    program = f"{patient}; from quadfollow_core.cli import main; main()"
    command = [sys.executable, "-c", program, "serve", "--port=0", "--zmq-port=0", "--pub-port=0", *options]
    with subprocess.Popen(command, stdin=stdin, stderr=subprocess.PIPE, text=True) as process:
        served = Served(process)
        try:
            yield served
        finally:
            family = psutil.Process(process.pid).children() if process.poll() is None else []
            for one in (process, *family):
                one.kill()
            served.join()


@pytest.fixture(scope="session")
def serve() -> Callable[..., Any]:
    """The context manager that runs ``quadfollow serve``."""
    return serving


def wait_until(is_so: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Wait for a state that must come about."""
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "it never came about"
        time.sleep(0.02)


@pytest.fixture(scope="session")
def until() -> Callable[..., None]:
    """The function that waits for a state."""
    return wait_until
