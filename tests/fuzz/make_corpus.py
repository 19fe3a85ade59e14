"""Writes the good inputs of the corpus: ``python tests/fuzz/make_corpus.py``. What is not good-* is kept by hand."""

from __future__ import annotations

import io
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image
from targets import CORPUS, packed

from quadfollow_core import wire
from quadfollow_core.codec import encode_jpeg, encode_png
from quadfollow_core.request import Result
from quadfollow_sim.quadsim.imitation.quad import Quad
from quadfollow_sim.quadsim.imitation.scene import ScriptedScene
from quadfollow_sim.quadsim.imitation.telemetry import sensor_frame
from quadfollow_sim.recording.moment import Moment
from quadfollow_sim.recording.tape import Tape

CAMERA = {"fx": 20, "fy": 20, "cx": 8, "cy": 6, "pose": {"position": [1, 2, 3], "rpy": [0, 0.3, 1]}}
BODY = {"type": "result", "id": 7, "frame": {"width": 16, "height": 12}, "target": None, "camera": CAMERA}


def main() -> None:
    """Write them all."""
    pixels = np.arange(16 * 12 * 3, dtype=np.uint8).reshape(12, 16, 3)
    jpeg, png = encode_jpeg(pixels), encode_png(pixels)
    webp, progressive = io.BytesIO(), io.BytesIO()
    Image.fromarray(pixels).save(webp, "WEBP", lossless=True)
    Image.fromarray(pixels).save(progressive, "JPEG", progressive=True)
    pictures = {"jpeg": jpeg, "png": png, "webp": webp.getvalue(), "progressive-jpeg": progressive.getvalue()}
    for name, data in (pictures | {"depth-png": encode_png(pixels[:, :, 0])}).items():
        keep("image", name, data)
    write_wire(jpeg, png, pixels)
    quad = Quad()
    seen = ScriptedScene().render(quad.camera())
    seen = replace(seen, image=seen.image[:16, :16].copy(), depth=seen.depth[:16, :16])
    frame = sensor_frame(seen, quad.body(), quad.eye(), 1508362462.25, far=100.0)
    keep("sensor_frame", "frame", ("42" + json.dumps(["sensor_frame", frame])).encode())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tape.mcap"
        with Tape(path, origin="here") as tape:
            for number in range(2):
                tape.write(Moment("front", 1_700_000_000 + number, BODY | {"id": number}, jpeg))
        keep("recording", "tape", path.read_bytes())


def write_wire(jpeg: bytes, png: bytes, pixels: np.ndarray) -> None:
    """Requests and what is sent for them."""
    header = {"id": 7, "stream": "front", "encoding": "jpeg", "camera": CAMERA, "want": ["target", "mask:rle"]}
    raw = {"id": "7", "encoding": "raw-rgb8", "width": 16, "height": 12, "deadline_ms": 5, "model": "m", "threshold": 9}
    depth = {"encoding": "png", "depth": {"encoding": "raw-u16", "scale": 0.1, "width": 16, "height": 12}}
    keep("request", "jpeg", packed(wire.encode_request(header, jpeg)))
    keep("request", "raw", packed(wire.encode_request(raw, pixels.tobytes())))
    keep("request", "depth", packed(wire.encode_request(depth, png, bytes(16 * 12 * 2))))
    keep("request", "ping", packed(wire.encode_ping(3)))
    keep("replies", "result", packed(wire.encode_reply(Result(BODY, png))))
    keep("replies", "publication", packed(wire.encode_publication("front", BODY)))
    keep("replies", "picture", packed(wire.encode_picture("front", BODY | {"picture": {"encoding": "jpeg"}}, jpeg)))


def keep(target: str, name: str, data: bytes) -> None:
    """Write one."""
    path = CORPUS / target / f"good-{name}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


if __name__ == "__main__":
    main()
