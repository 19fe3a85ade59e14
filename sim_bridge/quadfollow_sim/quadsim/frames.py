"""QuadSim's ``sensor_frame``: five JSON strings that become a picture, its depth and where the camera stood."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import simplejpeg

from quadfollow_core.codec import decode_depth
from quadfollow_core.errors import BadImage, BadInput, BadMessage
from quadfollow_core.geometry import Camera, Intrinsics
from quadfollow_core.locate import Depth
from quadfollow_sim.quadsim.pose import Attitude, parse_pose, parse_seconds

FOV = math.radians(60)
"""Vertical field of view of QuadSim's camera; its picture is square, 256 pixels, so fx = fy = 221.7."""
FAR = 100.0
"""Metres at which depth is 255, in the last build; some others have 50 or 500."""
SKY = 255


@dataclass(frozen=True, slots=True)
class DepthPicture:
    """Planar depth as an 8 bit PNG, red = green = blue = 255 · z / ``far``; 255 is sky."""

    png: bytes = field(repr=False)
    far: float = FAR

    def __post_init__(self) -> None:
        if not (self.far > 0 and math.isfinite(self.far)):
            raise BadInput(f"the far plane is a positive number of metres, got {self.far}")

    def header(self) -> dict[str, Any]:
        """Say how to read it in the words of the wire's ``depth`` object; the bytes go out as they are."""
        return {"encoding": "png", "scale": self.far / SKY, "max_value": SKY}

    def decode(self) -> Depth:
        """Decode to depth in metres."""
        return Depth(decode_depth(self.png), self.far / SKY, SKY)


@dataclass(frozen=True, slots=True)
class SensorFrame:
    """One frame: what was seen, from where."""

    image: bytes = field(repr=False)
    """A JPEG of quality 75, 256×256."""
    depth: DepthPicture | None
    camera: Camera
    """Intrinsics, and the pose of the camera in the world frame."""
    body: Attitude
    """The quadcopter's own place and attitude; the camera hangs 0.11 m below."""
    timestamp: float
    """UTC seconds by the simulator's clock."""


def parse_sensor_frame(data: object, far: float = FAR) -> SensorFrame:
    """Read the argument of a ``sensor_frame`` event.

    Args:
        data: the event's JSON object.
        far: the simulator's far plane in metres.

    Raises:
        WrongCulture: numbers with decimal commas; the message names the remedy.
        BadMessage: a key that is missing or of the wrong form.
        BadImage: a picture that cannot be read.
    """
    if not isinstance(data, Mapping):
        raise BadMessage(f"sensor_frame must be a JSON object, got {type(data).__name__}")
    eye = parse_pose(_value(data, "gimbal_pose"), "gimbal_pose")
    image = _bytes(data, "rgb_image")
    depth = _bytes(data, "depth_image") if data.get("depth_image") else None
    return SensorFrame(
        image=image,
        depth=None if depth is None else DepthPicture(depth, far),
        camera=Camera(_intrinsics(image), eye.camera_pose()),
        body=parse_pose(_value(data, "pose"), "pose"),
        timestamp=parse_seconds(_value(data, "timestamp"), "timestamp"),
    )


def _intrinsics(jpeg: bytes) -> Intrinsics:
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(jpeg)
    except ValueError as error:
        raise BadImage(f"rgb_image is not a JPEG: {error}") from error
    return Intrinsics.from_fov(width, height, FOV)


def _value(data: Mapping[str, Any], key: str) -> Any:
    if key not in data:
        raise BadMessage(f"sensor_frame has no {key}; it has {', '.join(map(str, data)) or 'nothing'}")
    return data[key]


def _bytes(data: Mapping[str, Any], key: str) -> bytes:
    text = _value(data, key)
    if not isinstance(text, str):
        raise BadMessage(f"{key} must be a string in base64, got {type(text).__name__}")
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise BadMessage(f"{key} is not base64: {error}") from error
