"""Messages survive the wire, malformed ones raise our own errors, and the documented test vectors hold."""

from __future__ import annotations

import base64
import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quadfollow_core import wire
from quadfollow_core.codec import encode_jpeg, encode_png
from quadfollow_core.errors import BadMessage, LimitExceeded, QuadfollowError
from quadfollow_core.locate import Rule
from quadfollow_core.request import FrameRequest, Result

VECTORS = json.loads((Path(__file__).parents[2] / "docs/wire-vectors.json").read_text())
IMAGE = encode_jpeg(np.zeros((8, 8, 3), np.uint8))
CAMERA = {"fx": 10, "fy": 10, "cx": 4, "cy": 4}


def parts(header: Any, *payload: bytes) -> list[bytes]:
    """Message parts of a header that may be anything JSON can say."""
    return [wire.MAGIC, json.dumps(header).encode(), *(payload or (IMAGE,))]


def request(header: Any, *payload: bytes) -> FrameRequest:
    """The frame request in a well-formed message."""
    decoded = wire.decode_request(parts(header, *payload))
    assert isinstance(decoded, FrameRequest)
    return decoded


def seen(message: list[bytes]) -> dict[str, Any]:
    """What the library reads in a message, in the vectors' own words."""
    decoded = wire.decode_request(message)
    if isinstance(decoded, wire.Ping):
        return {"type": "ping", "id": decoded.id}
    return {"type": "frame", "id": decoded.id, "stream": decoded.stream, "shape": list(decoded.decode().shape)}


@pytest.mark.parametrize("vector", VECTORS["requests"], ids=lambda vector: vector["name"])
def test_request_vectors(vector: dict[str, Any]) -> None:
    """Each documented request is read, or refused with the documented code."""
    message = [base64.b64decode(part) for part in vector["parts_base64"]]
    if "error" in vector:
        with pytest.raises(QuadfollowError) as caught:
            seen(message)
        assert caught.value.code == vector["error"]
    else:
        assert seen(message) == vector["expect"]


@pytest.mark.parametrize("vector", VECTORS["replies"], ids=lambda vector: vector["name"])
def test_reply_vectors(vector: dict[str, Any]) -> None:
    """Each documented reply is read."""
    reply = wire.decode_reply([base64.b64decode(part) for part in vector["parts_base64"]])
    assert reply.body["type"] == vector["expect"]["type"]
    assert reply.body["id"] == vector["expect"]["id"]


def test_a_full_request_round_trips() -> None:
    """Every key of a request arrives where it belongs."""
    depth = encode_png(np.full((8, 8), 100, np.uint8))
    header = {
        "id": "frame-1",
        "stream": "left",
        "captured_at": 12.5,
        "encoding": "jpeg",
        "camera": CAMERA | {"pose": {"position": [1, 2, 3], "rpy": [0, 0.5, 0]}, "distortion": [0.1, 0, 0, 0]},
        "depth": {"encoding": "png", "scale": 0.1, "max_value": 255},
        "want": ["target", "mask:png"],
        "deadline_ms": 80,
        "model": "tiny",
        "threshold": 90,
        "from_the_future": {"ignored": True},
    }
    got = request(header, IMAGE, depth)
    assert (got.id, got.stream, got.captured_at, got.model, got.deadline_ms) == ("frame-1", "left", 12.5, "tiny", 80)
    assert got.want == {"target", "mask:png"}
    assert got.rule(Rule(128, 7)) == Rule(90, 7)
    assert got.camera is not None
    assert got.camera.pose is not None
    assert got.camera.pose.position == (1, 2, 3)
    measured = got.decode_depth()
    assert measured is not None
    assert measured.values[3, 3] * measured.scale == pytest.approx(10)


def test_raw_pixels_need_the_right_length() -> None:
    """Raw pixels decode to their picture, and a length that does not fit is refused."""
    pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    header = {"encoding": "raw-rgb8", "width": 3, "height": 2}
    assert np.array_equal(request(header, pixels.tobytes()).decode(), pixels)
    with pytest.raises(BadMessage, match="takes 18 bytes, got 17"):
        request(header, pixels.tobytes()[:-1]).decode()
    with pytest.raises(BadMessage, match="width and height"):
        request({"encoding": "raw-rgb8"}, b"")


def test_raw_depth_is_little_endian_metres() -> None:
    """Raw float depth arrives as sent."""
    values = np.linspace(1, 9, 6, dtype="<f4").reshape(2, 3)
    header = {"depth": {"encoding": "raw-f32", "scale": 1, "width": 3, "height": 2}}
    depth = request(header, IMAGE, values.tobytes()).decode_depth()
    assert depth is not None
    assert np.array_equal(depth.values, values)


BAD_HEADERS = [
    ({"id": 1.5}, "id must be"),
    ({"id": 2**70}, "id must be"),
    ({"id": ["a"]}, "id must be"),
    ({"stream": 4}, "stream"),
    ({"stream": "a\0b"}, "NUL"),
    ({"stream": "x" * 200}, "limited to 128"),
    ({"stream": "\ud800"}, "surrogate"),
    ({"camera": {"fx": 1, "fy": 1, "cx": 1, "cy": 1, "distortion": "none"}}, "a list of numbers"),
    ({"captured_at": "now"}, "captured_at"),
    ({"captured_at": float("nan")}, "finite"),
    ({"captured_at": 10**400}, "finite"),
    ({"captured_at": 1.7e308}, "from -1e"),
    ({"captured_at": -1.7e308}, "from -1e"),
    ({"deadline_ms": -1}, "above zero"),
    ({"want": "target"}, "want"),
    ({"reset_track": "yes"}, "reset_track"),
    ({"want": ["everything"]}, "everything"),
    ({"encoding": "bmp"}, "bmp"),
    ({"threshold": 0}, "1 to 255"),
    ({"camera": 3}, "camera"),
    ({"camera": {"fx": 1}}, "fx, fy, cx and cy"),
    ({"camera": CAMERA | {"fx": 0}}, "positive"),
    ({"camera": CAMERA | {"distortion": [1, 2, 3]}}, "coefficients"),
    ({"camera": CAMERA | {"pose": {"position": [0, 0, float("nan")], "rpy": [0, 0, 0]}}}, "finite"),
    ({"camera": CAMERA | {"pose": {"position": [0, 0], "rpy": [0, 0, 0]}}}, "3 numbers"),
    ({"camera": CAMERA | {"pose": {"position": [0, 0, 0]}}}, "quaternion"),
    ({"camera": CAMERA | {"pose": {"position": [0, 0, 0], "quaternion": [0, 0, 0, 0]}}}, "length 1"),
    ({"depth": {"encoding": "png", "scale": 1}}, "both"),
    ({"type": "dance"}, "dance"),
]


@pytest.mark.parametrize("depth", [100, 900, 990, 1000, 1010, 1020, 5000])
def test_levels_without_end(depth: int) -> None:
    """However deep a value goes, it is read and named, or refused as no JSON."""
    text = b'{"camera":{"fx":' + b"[" * depth + b"]" * depth + b"}}"
    with pytest.raises(QuadfollowError, match=r"fx must be|not JSON"):
        wire.decode_request([wire.MAGIC, text, IMAGE])


@pytest.mark.parametrize(("header", "says"), BAD_HEADERS, ids=lambda value: str(value)[:40])
def test_bad_headers_name_the_fault(header: dict[str, Any], says: str) -> None:
    """Each malformed key is refused with a message that names it."""
    with pytest.raises(QuadfollowError, match=says):
        request(header)


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ([], "part 0"),
        ([b"qf2", b"{}", b""], "part 0"),
        ([b"qf1"], "missing"),
        ([b"qf1", b"{}"], "3 or 4 parts"),
        ([b"qf1", b"{}", b"", b"", b""], "3 or 4 parts"),
        ([b"qf1", b"[]", b""], "object"),
        ([b"qf1", b"{", b""], "not JSON"),
        ([b"qf1", b"\xff\xfe", b""], "not JSON"),
        ([b"qf1", b"[" * 60_000, b""], "not JSON"),
        ([b"qf1", b" " * 70_000, b""], "max_header_bytes"),
    ],
)
def test_malformed_messages_name_the_fault(message: list[bytes], says: str) -> None:
    """Messages of the wrong form are refused with a message that says what is expected."""
    with pytest.raises(QuadfollowError, match=says):
        wire.decode_request(message)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
keys = st.sampled_from(
    ["id", "stream", "captured_at", "encoding", "width", "height", "camera", "depth", "want", "deadline_ms", "model"]
    + [
        "reset_track",
        "threshold",
        "min_area",
        "type",
        "pose",
        "position",
        "rpy",
        "quaternion",
        "fx",
        "fy",
        "cx",
        "cy",
        "scale",
    ]
)


@given(st.dictionaries(keys, json_values | st.dictionaries(keys, json_values, max_size=6), max_size=8))
def test_any_header_is_read_or_refused(header: dict[str, Any]) -> None:
    """Whatever JSON the header holds, the answer is a request or one of our own errors."""
    with contextlib.suppress(QuadfollowError):
        wire.decode_request(parts(header))


@given(st.lists(st.binary(max_size=40), max_size=6))
def test_any_parts_are_read_or_refused(message: list[bytes]) -> None:
    """Whatever the bytes of the parts, the answer is a request or one of our own errors."""
    for candidate in (message, [wire.MAGIC, *message]):
        with contextlib.suppress(QuadfollowError):
            wire.decode_request(candidate)


def test_a_reply_round_trips() -> None:
    """A result with its mask is read back as written."""
    result = Result({"type": "result", "id": 3, "target": None}, b"png")
    assert wire.decode_reply(wire.encode_reply(result)) == result
    with pytest.raises(BadMessage):
        wire.decode_reply(parts({"type": "hello"}))


def test_a_topic_ends_so_that_no_other_stream_matches() -> None:
    """Stream "1" is not a prefix of stream "10" once both end in NUL."""
    assert not wire.topic("10").startswith(wire.topic("1"))
    assert wire.decode_publication(wire.encode_publication("cam", {"id": 1})) == ("cam", {"id": 1})


def test_numbers_that_json_cannot_say_are_refused_before_sending() -> None:
    """A header with NaN is an error at the sender."""
    with pytest.raises(BadMessage, match="finite"):
        wire.encode_request({"captured_at": float("nan")}, b"")


def test_a_reply_may_be_larger_than_a_request() -> None:
    """A large run-length mask is read by who asked for it; a request's header of that size is refused."""
    body = {"type": "result", "mask": {"runs": list(range(30_000))}}
    reply = wire.encode_reply(Result(body))
    assert len(reply[1]) > wire.MAX_HEADER
    assert wire.decode_reply(reply).body == body
    with pytest.raises(LimitExceeded, match="max_header_bytes"):
        wire.decode_request([*reply, b"image"])


def test_a_header_that_no_server_reads_is_refused_before_sending() -> None:
    """The longest one is read as written; a byte more is refused by its sender as by its reader."""
    note = "x" * (wire.MAX_HEADER - len(b'{"note":""}'))
    message = wire.encode_request({"note": note}, IMAGE)
    assert len(message[1]) == wire.MAX_HEADER
    wire.decode_request(message)
    with pytest.raises(LimitExceeded, match="max_header_bytes"):
        wire.encode_request({"note": note + "x"}, IMAGE)


def test_values_that_json_does_not_know_are_refused_before_sending() -> None:
    """NumPy's own numbers are the usual ones."""
    with pytest.raises(BadMessage, match="what JSON knows"):
        wire.encode_request({"camera": {"fx": np.float32(1)}}, b"image")
