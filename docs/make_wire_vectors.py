"""Write ``wire-vectors.json``: messages any client or server can check itself against.

Run ``python docs/make_wire_vectors.py`` after a change to the wire; tests/core/test_wire.py reads the file.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np

from quadfollow_core import wire
from quadfollow_core.codec import encode_jpeg, encode_png
from quadfollow_core.request import Bytes, Result


def vector(name: str, message: list[Bytes] | list[bytes], **more: Any) -> dict[str, Any]:
    """One named message, its parts in base64."""
    return {"name": name, "parts_base64": [base64.b64encode(bytes(part)).decode() for part in message], **more}


def frame(number: int | str | None, stream: str, shape: list[int]) -> dict[str, Any]:
    """What a reader must find in a frame request."""
    return {"type": "frame", "id": number, "stream": stream, "shape": shape}


def reply(name: str, body: dict[str, Any]) -> dict[str, Any]:
    """One named reply and what a reader must find in it."""
    return vector(name, wire.encode_reply(Result(body)), expect={key: body[key] for key in ("type", "id")})


def main() -> None:
    """Write the vectors beside this script."""
    image = np.zeros((16, 24, 3), np.uint8)
    image[4:12, 8:16, 0] = 200
    jpeg, png = encode_jpeg(image), encode_png(image)
    depth = encode_png(np.full((16, 24), 51, np.uint8))
    raw = {"id": 3, "encoding": "raw-rgb8", "width": 24, "height": 16}
    pose = {"position": [1.0, 2.0, 3.0], "rpy": [0.0, 0.5, 1.0]}
    full = {
        "id": "f-0042",
        "stream": "front",
        "captured_at": 1700000000.25,
        "encoding": "png",
        "camera": {"fx": 20.8, "fy": 20.8, "cx": 12.0, "cy": 8.0, "pose": pose},
        "depth": {"encoding": "png", "scale": 100 / 255, "max_value": 255},
        "want": ["target", "people", "mask:png"],
        "deadline_ms": 100,
    }
    small = [16, 24, 3]
    requests = [
        vector("smallest", wire.encode_request({}, jpeg), expect=frame(None, "", small)),
        vector("with id and stream", wire.encode_request({"id": 7, "stream": "1"}, jpeg), expect=frame(7, "1", small)),
        vector("everything", wire.encode_request(full, png, depth), expect=frame("f-0042", "front", small)),
        vector("raw pixels", wire.encode_request(raw, image.tobytes()), expect=frame(3, "", small)),
        vector("unknown key", wire.encode_request({"id": 1, "mood": "good"}, jpeg), expect=frame(1, "", small)),
        vector("ping", wire.encode_ping("p1"), expect={"type": "ping", "id": "p1"}),
        vector("wrong version", [b"qf9", b"{}", jpeg], error="bad-message"),
        vector("header is a list", [wire.MAGIC, b"[]", jpeg], error="bad-message"),
        vector("header is no JSON", [wire.MAGIC, b"{", jpeg], error="bad-message"),
        vector("image part missing", [wire.MAGIC, b"{}"], error="bad-message"),
        vector("truncated JPEG", wire.encode_request({}, jpeg[:200]), error="bad-image"),
        vector("empty image", wire.encode_request({}, b""), error="bad-image"),
        vector("PNG declared, JPEG sent", wire.encode_request({"encoding": "png"}, jpeg), error="unsupported-encoding"),
        vector("NaN in the pose", [wire.MAGIC, _nan_pose(), jpeg], error="bad-geometry"),
    ]
    replies = [
        reply("nothing seen", {"type": "result", "id": 7, "target": None}),
        reply("dropped", {"type": "dropped", "id": 6, "reason": "superseded"}),
        reply("error", {"type": "error", "id": None, "code": "bad-message", "detail": "part 1 is not JSON"}),
        reply("pong", {"type": "pong", "id": "p1"}),
    ]
    target = Path(__file__).with_name("wire-vectors.json")
    target.write_text(json.dumps({"version": 1, "requests": requests, "replies": replies}, indent=1) + "\n")


def _nan_pose() -> bytes:
    pose = {"position": [0, 0, float("nan")], "rpy": [0, 0, 0]}
    return json.dumps({"camera": {"fx": 1, "fy": 1, "cx": 1, "cy": 1, "pose": pose}}).encode()


if __name__ == "__main__":
    main()
