"""The servers that users would pick instead: how each is installed, started and asked.

Each lives in a virtual environment of its own, made on first use from ``benchmarks/peers/NAME.txt``; the folder is
``out/peers``, or what QUADFOLLOW_PEERS names. Each is written as its documentation shows; see ``benchmarks/peers``.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from measuring.servers import Process, ask, http_request, jpeg_request
from quadfollow_core.codec import decode_image
from quadfollow_core.errors import Unavailable
from quadfollow_sim.server_process import free_ports

SOURCES = Path(__file__).resolve().parents[1] / "peers"
BOUNDARY = "quadfollow-benchmark"
Mask = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Peer:
    """One server in one configuration."""

    name: str
    environment: str
    """The virtual environment, which several configurations may share."""
    command: tuple[str, ...]
    """Words after the environment's folder of programs; ``{port}`` and further free ports ``{a}``, ``{b}``."""
    request: Callable[[bytes], bytes]
    """Makes the whole HTTP request of a JPEG."""
    mask: Callable[[bytes], Mask]
    """Reads the class mask from an answer's body."""
    settings: tuple[tuple[str, str], ...] = ()
    """Environment variables; ``{port}`` as above."""

    def server(self, model: Path | None, log: Path) -> PeerServer:
        """Make the server, for a model or for a network that costs nothing; its environment is made if need be."""
        port, a, b = free_ports(3)
        fill = {"port": port, "a": a, "b": b}
        program, *words = self.command
        command = [environment(self.environment) / "bin" / program, *(word.format(**fill) for word in words)]
        settings = {name: value.format(**fill) for name, value in self.settings}
        if model is not None:
            settings["PEER_MODEL"] = str(model.resolve())
        return PeerServer(command, port, log, PYTHONPATH=str(SOURCES), **settings)


class PeerServer(Process):
    """A peer's process."""

    def wait_for_answer(self, request: bytes) -> bytes:
        """Wait until it answers a request well, and return the answer's body."""
        bodies: list[bytes] = []

        def well() -> bool:
            status, body = ask(self.port, request)
            if status == 200:
                bodies.append(body)
            return status == 200

        self.wait_until(well)
        return bodies[0]


def upload(path: str, field: str) -> Callable[[bytes], bytes]:
    """Make requests that upload a file as multipart."""

    def request(jpeg: bytes) -> bytes:
        head = (
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{field}"; filename="frame.jpg"\r\n'
            "Content-Type: image/jpeg\r\n\r\n"
        )
        body = head.encode() + jpeg + f"\r\n--{BOUNDARY}--\r\n".encode()
        return http_request(path, body, {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"})

    return request


def v2_json(jpeg: bytes) -> bytes:
    """Make a request of the V2 protocol with the JPEG as base64."""
    data = [base64.b64encode(jpeg).decode()]
    inputs = [{"name": "image", "shape": [1], "datatype": "BYTES", "parameters": {"content_type": "base64"}}]
    body = json.dumps({"inputs": [inputs[0] | {"data": data}]}).encode()
    return http_request("/v2/models/segment/infer", body, {"Content-Type": "application/json"})


def v2_binary(jpeg: bytes) -> bytes:
    """Make a request of the V2 protocol with the decoded frame as binary data, as Triton's client does."""
    image = decode_image(jpeg)
    head = {
        "inputs": [
            {
                "name": "image",
                "shape": [1, *image.shape],
                "datatype": "UINT8",
                "parameters": {"binary_data_size": image.size},
            }
        ],
        "outputs": [{"name": "classes", "parameters": {"binary_data": True}}],
    }
    text = json.dumps(head).encode()
    headers = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(text))}
    return http_request("/v2/models/segment/infer", text + image.tobytes(), headers)


def png_mask(body: bytes) -> Mask:
    """Read a PNG."""
    return np.asarray(cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_UNCHANGED), np.uint8)


def v2_json_mask(body: bytes) -> Mask:
    """Read a PNG in base64 in a V2 answer."""
    return png_mask(base64.b64decode(json.loads(body)["outputs"][0]["data"][0]))


def v2_binary_mask(body: bytes) -> Mask:
    """Read the mask behind a V2 answer's JSON."""
    head, end = json.JSONDecoder().raw_decode(body.decode("latin-1"))
    _, height, width = head["outputs"][0]["shape"]
    return np.frombuffer(body[end:], np.uint8).reshape(height, width)


MLSERVER = (
    ("MLSERVER_HTTP_PORT", "{port}"),
    ("MLSERVER_GRPC_PORT", "{a}"),
    ("MLSERVER_METRICS_PORT", "{b}"),
    ("MLSERVER_PARALLEL_WORKERS", "0"),
    ("MLSERVER_MODEL_NAME", "segment"),
    ("MLSERVER_MODEL_IMPLEMENTATION", "mlserver_model.Segment"),
)
UVICORN = (
    "python",
    "-m",
    "uvicorn",
    "fastapi_server:app",
    "--port",
    "{port}",
    "--no-access-log",
    "--log-level",
    "warning",
)
BENTOML = ("bentoml", "serve", "bentoml_server:Segment", "--port", "{port}", "--host", "127.0.0.1", "-q")
TWO = (("PEER_WORKERS", "2"),)
LITSERVE = upload("/predict", "content")
FILE = upload("/segment", "file")

PEERS = (
    Peer("FastAPI, as one writes it first", "fastapi", UVICORN, FILE, png_mask),
    Peer("FastAPI, 2 workers", "fastapi", (*UVICORN, "--workers", "2"), FILE, png_mask),
    Peer("LitServe", "litserve", ("python", str(SOURCES / "litserve_server.py"), "{port}"), LITSERVE, png_mask),
    Peer(
        "LitServe, 2 workers",
        "litserve",
        ("python", str(SOURCES / "litserve_server.py"), "{port}"),
        LITSERVE,
        png_mask,
        TWO,
    ),
    Peer("BentoML", "bentoml", BENTOML, FILE, png_mask),
    Peer("BentoML, 2 workers", "bentoml", BENTOML, FILE, png_mask, TWO),
    Peer("MLServer", "mlserver", ("mlserver", "start", str(SOURCES)), v2_json, v2_json_mask, MLSERVER),
    Peer("Ray Serve", "ray", ("python", str(SOURCES / "ray_server.py"), "{port}"), jpeg_request, png_mask),
    Peer(
        "Triton (pytriton)",
        "triton",
        ("python", str(SOURCES / "triton_server.py"), "{port}", "{a}", "{b}"),
        v2_binary,
        v2_binary_mask,
    ),
)


def environment(name: str) -> Path:
    """Return the folder of a virtual environment, made anew where its list of packages has changed.

    Raises:
        Unavailable: it cannot be made; the message has the end of pip's.
    """
    folder = Path(os.environ.get("QUADFOLLOW_PEERS", "out/peers")).resolve() / name
    wanted = (SOURCES / f"{name}.txt").read_text()
    stamp = folder / "installed.txt"
    if not stamp.exists() or stamp.read_text() != wanted:
        _run(interpreter(name), "-m", "venv", "--clear", folder)
        _run(folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--requirement", SOURCES / f"{name}.txt")
        stamp.write_text(wanted)
    return folder


def interpreter(name: str) -> str:
    """The Python that makes an environment: ours, or what QUADFOLLOW_PYTHON_NAME names."""
    return os.environ.get(
        f"QUADFOLLOW_PYTHON_{name.upper()}", "/usr/bin/python3" if name == "triton" else sys.executable
    )


def _run(*command: object) -> None:
    told = " ".join(map(str, command[:4]))
    try:
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    except OSError as error:
        raise Unavailable(f"{told} failed: {error}") from error
    if done.returncode != 0:
        raise Unavailable(f"{told} failed: {done.stderr[-1500:]}")
