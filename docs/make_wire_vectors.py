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

ABOUT = (
    "Messages of the ZeroMQ wire, part by part in base64. A request either has 'expect', what a server reads in it "
    "(shape is rows, columns, channels of the decoded image), or 'error', the code it is refused with. Of a reply a "
    "client must read at least 'expect'."
)


def vector(name: str, message: list[Bytes] | list[bytes], **more: Any) -> dict[str, Any]:
    """One named message, its parts in base64."""
    return {"name": name, "parts_base64": [base64.b64encode(bytes(part)).decode() for part in message], **more}


def frame(number: int | str | None, stream: str, shape: list[int]) -> dict[str, Any]:
    """What a reader must find in a frame request."""
    return {"type": "frame", "id": number, "stream": stream, "shape": shape}


def reply(name: str, body: dict[str, Any], mask: bytes | None = None) -> dict[str, Any]:
    """One named reply and what a reader must find in it."""
    return vector(name, wire.encode_reply(Result(body, mask)), expect={key: body[key] for key in ("type", "id")})


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
        vector(
            "with a simulator's truth",
            wire.encode_request({"id": 8, "stream": "sim", "truth": {"target": [4.0, 2.0, 0.9]}}, jpeg),
            expect=frame(8, "sim", small),
        ),
        vector("ping", wire.encode_ping("p1"), expect={"type": "ping", "id": "p1"}),
        vector("wrong version", [b"qf9", b"{}", jpeg], error="bad-message"),
        vector("header is a list", [wire.MAGIC, b"[]", jpeg], error="bad-message"),
        vector("header is no JSON", [wire.MAGIC, b"{", jpeg], error="bad-message"),
        vector("image part missing", [wire.MAGIC, b"{}"], error="bad-message"),
        vector("truncated JPEG", wire.encode_request({}, jpeg[:200]), error="bad-image"),
        vector("empty image", wire.encode_request({}, b""), error="bad-image"),
        vector("PNG declared, JPEG sent", wire.encode_request({"encoding": "png"}, jpeg), error="unsupported-encoding"),
        vector("id too long", wire.encode_request({"id": "x" * 129}, jpeg), error="limit-exceeded"),
        vector("id beyond 64 bits", wire.encode_request({"id": 2**63}, jpeg), error="bad-message"),
        vector("NUL in the stream", wire.encode_request({"stream": "a\0b"}, jpeg), error="bad-message"),
        vector("five parts", [*wire.encode_request({"id": 1}, jpeg), b"", b""], error="bad-message"),
        vector("depth without its object", wire.encode_request({"id": 1}, jpeg, depth), error="bad-message"),
        vector("unknown want", wire.encode_request({"want": ["everything"]}, jpeg), error="bad-message"),
        vector("truth of two numbers", wire.encode_request({"truth": {"target": [1, 2]}}, jpeg), error="bad-geometry"),
        vector("NaN in the pose", [wire.MAGIC, _nan_pose(), jpeg], error="bad-geometry"),
    ]
    nothing = {
        **{"type": "result", "id": 7, "stream": "front", "captured_at": None, "model": "follow-256"},
        **{"frame": {"width": 24, "height": 16}, "target": None, "people": [], "held_ms": 9.0, "dropped": 0},
        "timings": {
            "queue_ms": 0.1,
            "decode_ms": 0.2,
            "resize_ms": 0.1,
            "infer_ms": 8.0,
            "locate_ms": 0.3,
            "encode_ms": 0,
        },
    }
    late = {"type": "dropped", "id": 6, "stream": "", "captured_at": 12.5, "reason": "superseded", "held_ms": 4.2}
    fault = {"type": "error", "id": None, "stream": "", "code": "bad-message", "detail": "part 1 is not JSON"}
    large = {
        "type": "error",
        "id": 9,
        "stream": "",
        "code": "limit-exceeded",
        "detail": "max_pixels is limited to 16777216",
    }
    replies = [
        reply("nothing seen", nothing),
        reply(
            "with a mask",
            nothing | {"mask": {"encoding": "png", "width": 24, "height": 16}},
            encode_png(image[:, :, 0]),
        ),
        reply("dropped", late),
        reply("error", fault),
        reply("a limit was broken", large | {"limit": "max_pixels", "allowed": 16777216}),
        reply("pong", {"type": "pong", "id": "p1"}),
    ]
    target = Path(__file__).with_name("wire-vectors.json")
    target.write_text(
        json.dumps({"about": ABOUT, "version": 1, "requests": requests, "replies": replies}, indent=1) + "\n"
    )


def _nan_pose() -> bytes:
    pose = {"position": [0, 0, float("nan")], "rpy": [0, 0, 0]}
    return json.dumps({"camera": {"fx": 1, "fy": 1, "cx": 1, "cy": 1, "pose": pose}}).encode()


if __name__ == "__main__":
    main()
