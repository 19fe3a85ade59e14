"""QuadSim's ``sensor_frame``: five JSON strings that become a picture, its depth and where the camera stood."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import simplejpeg

from quadfollow_core.codec import decode_depth
from quadfollow_core.errors import BadImage, BadMessage
from quadfollow_core.geometry import Camera, Intrinsics
from quadfollow_core.locate import Depth
from quadfollow_sim.quadsim.pose import Attitude, parse_pose

FOV = math.radians(60)
"""Vertical field of view of QuadSim's camera; its picture is square, 256 pixels, so fx = fy = 221.7."""
FAR = 100.0
"""Metres at which depth is :data:`SKY`, in the last build; some others have 50 or 500."""
SKY = 255
"""Depth of what is at the far plane or beyond: of nothing that was measured."""


@dataclass(frozen=True, slots=True)
class SensorFrame:
    """One frame: what was seen, from where."""

    image: bytes = field(repr=False)
    """A JPEG of quality 75, 256×256."""
    depth: Depth | None = field(repr=False)
    camera: Camera
    """Intrinsics, and the pose of the camera in the world frame."""
    body: Attitude
    """The quadcopter's own place and attitude; the camera hangs 0.11 m below."""


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
    return SensorFrame(
        image=image,
        depth=_depth(_bytes(data, "depth_image"), far) if data.get("depth_image") else None,
        camera=Camera(_intrinsics(image), eye.camera_pose()),
        body=parse_pose(_value(data, "pose"), "pose"),
    )


def _depth(png: bytes, far: float) -> Depth:
    """Read planar depth from an 8 bit PNG, red = green = blue = 255 · z / ``far``."""
    return Depth(decode_depth(png), far / SKY, SKY)


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
