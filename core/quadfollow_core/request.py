"""What a client asks of one frame: the same request behind every door.

A request is a JSON header beside the image's bytes and, optionally, depth bytes. :func:`parse_request` checks all of
it before any pixel is decoded, and unknown keys are ignored, so newer clients can talk to older servers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quadfollow_core.codec import MAX_PIXELS, MEDIA_TYPES, check_size, decode_depth, decode_image
from quadfollow_core.errors import BadGeometry, BadMessage, LimitExceeded, UnsupportedEncoding
from quadfollow_core.geometry import Camera, Intrinsics, Pose
from quadfollow_core.locate import Depth, Rule, Segmentation
from quadfollow_core.track import MAX_TIME

MAX_NAME = 128
"""Longest id, stream or model name, in characters."""
WANTS = ("target", "people", "track", "mask:png", "mask:rle")
DEFAULT_WANT = frozenset({"target", "people"})
RAW = "raw-rgb8"
DEPTH_ENCODINGS = ("png", "raw-u16", "raw-f32")

FrameId = str | int | None
Bytes = bytes | memoryview


@dataclass(frozen=True, slots=True)
class DepthHeader:
    """How to read the depth bytes: metres = value · ``scale``; values of ``max_value`` and above carry nothing."""

    encoding: str
    scale: float
    max_value: float = math.inf
    size: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class FrameRequest:
    """One frame and what is wanted of it, checked, its pictures not yet decoded."""

    image: Bytes
    encoding: str | None
    id: FrameId = None
    stream: str = ""
    captured_at: float | None = None
    size: tuple[int, int] | None = None
    """``(width, height)``, needed for raw pixels only."""
    camera: Camera | None = None
    depth: DepthHeader | None = None
    depth_data: Bytes | None = None
    want: frozenset[str] = DEFAULT_WANT
    reset_track: bool = False
    """Whether the stream's target is forgotten before this frame is looked at."""
    deadline_ms: float | None = None
    model: str | None = None
    threshold: int | None = None
    min_area: int | None = None
    truth: tuple[float, float, float] | None = None
    """Where a simulator's target really is, world frame, metres: shown and published, never used to answer."""
    traceparent: str | None = None
    """The client's span that this frame belongs to (W3C Trace Context), for a server that traces."""

    def rule(self, default: Rule) -> Rule:
        """The decision rule for this frame: the model's own where the request names none."""
        if self.threshold is None and self.min_area is None:
            return default
        threshold = default.threshold if self.threshold is None else self.threshold
        return Rule(threshold, default.min_area if self.min_area is None else self.min_area)

    def decode(self, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
        """Decode the image to ``(H, W, 3)`` uint8 RGB; see :func:`quadfollow_core.codec.decode_image`."""
        if self.encoding != RAW or self.size is None:
            return decode_image(self.image, self.encoding, max_pixels=max_pixels)
        width, height = self.size
        pixels = _raw_plane(self.image, np.uint8, (height, width, 3), "image", max_pixels)
        return np.asarray(pixels, dtype=np.uint8)

    def decode_depth(self, max_pixels: int = MAX_PIXELS) -> Depth | None:
        """Decode the depth picture, None where none was sent."""
        if self.depth is None or self.depth_data is None:
            return None
        return Depth(
            self._depth_values(self.depth, self.depth_data, max_pixels), self.depth.scale, self.depth.max_value
        )

    def _depth_values(self, header: DepthHeader, data: Bytes, max_pixels: int) -> NDArray[np.generic]:
        if header.encoding == "png" or header.size is None:
            return decode_depth(data, max_pixels=max_pixels)
        width, height = header.size
        kind = np.uint16 if header.encoding == "raw-u16" else np.float32
        return _raw_plane(data, kind, (height, width), "depth", max_pixels)


@dataclass(frozen=True, slots=True)
class Result:
    """A frame's answer as both doors write it: a JSON object and, where asked for, the class mask as PNG."""

    body: dict[str, Any]
    mask_png: bytes | None = field(default=None, repr=False)
    seen: Segmentation | None = field(default=None, repr=False, compare=False)
    """What the network saw, for whoever draws it on the server; no part of the answer."""


def parse_request(header: Mapping[str, Any], image: Bytes, depth_data: Bytes | None = None) -> FrameRequest:
    """Check a request's header and pair it with its bytes.

    Raises:
        BadMessage: a key of the wrong form; the message names it and what is expected.
        UnsupportedEncoding: an unknown image or depth encoding.
        BadGeometry: a camera, pose or depth that makes no sense.
        LimitExceeded: a name longer than MAX_NAME.
    """
    encoding = header.get("encoding")
    if encoding is not None and encoding not in (*MEDIA_TYPES, RAW):
        raise UnsupportedEncoding(f"encoding {shown(encoding)} is not taken: use {', '.join(MEDIA_TYPES)} or {RAW}")
    size = _size(header, "the frame") if encoding == RAW else None
    depth = _depth_header(header.get("depth"))
    if (depth is None) != (depth_data is None):
        raise BadMessage("depth needs both its bytes and a 'depth' object with encoding and scale")
    return FrameRequest(
        image=image,
        encoding=encoding,
        id=frame_id(header),
        stream=stream_name(header),
        captured_at=_time(header, "captured_at"),
        size=size,
        camera=parse_camera(header.get("camera")),
        depth=depth,
        depth_data=depth_data,
        want=_want(header.get("want")),
        reset_track=_flag(header, "reset_track"),
        deadline_ms=_number(header, "deadline_ms", positive=True),
        model=_name(header, "model"),
        threshold=_integer(header, "threshold", 1, 255),
        min_area=_integer(header, "min_area", 1, MAX_PIXELS),
        truth=_truth(header.get("truth")),
        traceparent=_traceparent(header.get("traceparent")),
    )


def camera_header(camera: Camera) -> dict[str, Any]:
    """Write a camera as the header's ``camera`` object, which :func:`parse_request` reads as the same camera."""
    lens = camera.intrinsics
    header: dict[str, Any] = {key: getattr(lens, key) for key in ("fx", "fy", "cx", "cy")}
    if lens.distortion:
        header["distortion"] = list(lens.distortion)
    if camera.pose is not None:
        header["pose"] = {"position": list(camera.pose.position), "quaternion": list(camera.pose.quaternion)}
    return header


def parse_camera(value: object) -> Camera | None:
    """Read the header's ``camera`` object, None where there is none.

    Raises:
        BadMessage, BadGeometry: it is no camera.
    """
    if value is None:
        return None
    source = _object(value, "camera")
    focal = [_number(source, key) for key in ("fx", "fy", "cx", "cy")]
    if any(number is None for number in focal):
        raise BadGeometry("camera needs fx, fy, cx and cy in pixels of the frame as sent")
    coefficients = source.get("distortion")
    distortion = () if coefficients is None else _numbers(coefficients, "camera.distortion")
    fx, fy, cx, cy = (number or 0.0 for number in focal)
    return Camera(Intrinsics(fx, fy, cx, cy, distortion), _pose(source.get("pose")))


def frame_id(header: Mapping[str, Any]) -> FrameId:
    """Return the frame's id, a string or an integer of at most 64 bits, None where there is none."""
    value = header.get("id")
    if isinstance(value, str):
        return _name(header, "id")
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63):
        return value
    raise BadMessage(f"id must be a string or a 64-bit integer, got {shown(value)}")


def stream_name(header: Mapping[str, Any]) -> str:
    """Return the name of the frame's stream, empty where there is none."""
    return _name(header, "stream") or ""


def _name(header: Mapping[str, Any], key: str) -> str | None:
    value = header.get(key)
    if value is None:
        return None
    if not isinstance(value, str) or "\0" in value:
        raise BadMessage(f"{key} must be a string without NUL, got {shown(value)}")
    if len(value) > MAX_NAME:
        raise LimitExceeded("max_name_length", got=f"{len(value)} characters of {key}", allowed=MAX_NAME)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise BadMessage(f"{key} is not valid Unicode: it holds a lone surrogate") from error
    return value


def _number(source: Mapping[str, Any], key: str, *, positive: bool = False) -> float | None:
    value = source.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not _is_finite(value):
        raise BadMessage(f"{key} must be a finite number, got {shown(value)}")
    if positive and value <= 0:
        raise BadMessage(f"{key} must be above zero, got {value}")
    return float(value)


def _time(source: Mapping[str, Any], key: str) -> float | None:
    value = _number(source, key)
    if value is not None and abs(value) > MAX_TIME:
        raise BadMessage(f"{key} must be a number from {-MAX_TIME:g} to {MAX_TIME:g}, in seconds, got {value}")
    return value


def _flag(source: Mapping[str, Any], key: str) -> bool:
    value = source.get(key, False)
    if value is not None and not isinstance(value, bool):
        raise BadMessage(f"{key} must be true or false, got {shown(value)}")
    return bool(value)


def _integer(source: Mapping[str, Any], key: str, low: int, high: int) -> int | None:
    value = source.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise BadMessage(f"{key} must be an integer from {low} to {high}, got {shown(value)}")
    return value


def _size(source: Mapping[str, Any], what: str) -> tuple[int, int]:
    width, height = (_integer(source, key, 1, MAX_PIXELS) for key in ("width", "height"))
    if width is None or height is None:
        raise BadMessage(f"raw pixels need the width and height of {what}")
    return width, height


def _want(value: object) -> frozenset[str]:
    if value is None:
        return DEFAULT_WANT
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise BadMessage(f"want must be a list of {', '.join(WANTS)}, got {shown(value)}")
    unknown = [item for item in value if item not in WANTS]
    if unknown:
        raise BadMessage(f"want does not know {shown(unknown[0])}: use {', '.join(WANTS)}")
    if "mask:png" in value and "mask:rle" in value:
        raise BadMessage("want takes mask:png or mask:rle, not both")
    return frozenset(value)


def _pose(value: object) -> Pose | None:
    if value is None:
        return None
    source = _object(value, "camera.pose")
    position = _numbers(source.get("position"), "camera.pose.position", 3)
    quaternion, rpy = source.get("quaternion"), source.get("rpy")
    if (quaternion is None) == (rpy is None):
        raise BadGeometry("camera.pose needs position and either quaternion [x, y, z, w] or rpy [roll, pitch, yaw]")
    if rpy is not None:
        roll, pitch, yaw = _numbers(rpy, "camera.pose.rpy", 3)
        return Pose.from_rpy((position[0], position[1], position[2]), roll, pitch, yaw)
    x, y, z, w = _numbers(quaternion, "camera.pose.quaternion", 4)
    return Pose((position[0], position[1], position[2]), (x, y, z, w))


def _truth(value: object) -> tuple[float, float, float] | None:
    if value is None:
        return None
    x, y, z = _numbers(_object(value, "truth").get("target"), "truth.target", 3)
    return x, y, z


def _traceparent(value: object) -> str | None:
    """As W3C has it, one that makes no sense is passed over and no reason to refuse."""
    return value if isinstance(value, str) and len(value) <= MAX_NAME else None


def _depth_header(value: object) -> DepthHeader | None:
    if value is None:
        return None
    source = _object(value, "depth")
    encoding = source.get("encoding")
    if encoding not in DEPTH_ENCODINGS:
        raise UnsupportedEncoding(f"depth encoding {shown(encoding)} is not taken: use {', '.join(DEPTH_ENCODINGS)}")
    scale = _number(source, "scale", positive=True)
    if scale is None:
        raise BadGeometry("depth needs scale, the metres per unit of its values")
    maximum = _number(source, "max_value", positive=True)
    size = None if encoding == "png" else _size(source, "the depth picture")
    return DepthHeader(str(encoding), scale, math.inf if maximum is None else maximum, size)


def _object(value: object, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise BadMessage(f"{what} must be a JSON object, got {shown(value)}")
    return value


def _numbers(value: object, what: str, length: int | None = None) -> tuple[float, ...]:
    if not isinstance(value, list) or (length is not None and len(value) != length):
        count = "" if length is None else f"{length} "
        raise BadGeometry(f"{what} must be a list of {count}numbers, got {shown(value)}")
    if not all(isinstance(item, int | float) and not isinstance(item, bool) and _is_finite(item) for item in value):
        raise BadGeometry(f"{what} must hold finite numbers only, got {shown(value)}")
    return tuple(float(item) for item in value)


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond what a float can hold
        return False


def _raw_plane(
    data: Bytes, kind: type[np.generic], shape: tuple[int, ...], what: str, max_pixels: int
) -> NDArray[np.generic]:
    height, width = shape[:2]
    check_size(width, height, max_pixels)
    expected = math.prod(shape) * np.dtype(kind).itemsize
    if len(data) != expected:
        raise BadMessage(f"raw {what} of {width}x{height} takes {expected} bytes, got {len(data)}")
    return np.frombuffer(data, dtype=np.dtype(kind).newbyteorder("<")).reshape(shape)


def shown(value: object) -> str:
    """A value as an error message quotes it, cut to 80 characters."""
    try:
        text = repr(value)
    except RecursionError:
        text = f"a {type(value).__name__} of too many levels"
    return text if len(text) <= 80 else text[:77] + "..."
