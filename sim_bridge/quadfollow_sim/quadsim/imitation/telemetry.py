"""QuadSim's ``sensor_frame`` as it writes it: strings in its computer's number format, JPEG, and depth as grey RGBA."""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from quadfollow_core.codec import encode_jpeg
from quadfollow_sim.quadsim.imitation.scene import Picture
from quadfollow_sim.quadsim.pose import Attitude


@dataclass(frozen=True, slots=True)
class Culture:
    """How an operating system's language writes numbers."""

    point: str = "."
    group: str = ","

    def fixed(self, value: float) -> str:
        """Write with four decimals and thousands separators, as .NET's format ``N4``."""
        plain = f"{value:,.4f}"
        return plain.translate({ord("."): self.point, ord(","): self.group})

    def general(self, value: float) -> str:
        """Write with up to 15 digits, as .NET's ``ToString()``."""
        return f"{value:.15G}".replace(".", self.point)


ENGLISH = Culture()
GERMAN = Culture(",", ".")
FRENCH = Culture(",", "\u00a0")
SWISS = Culture(".", "'")


def pose_text(attitude: Attitude, culture: Culture = ENGLISH) -> str:
    """Write a pose as QuadSim does: roll and yaw in (-360, 0], pitch in [0, 360) degrees."""
    roll, pitch, yaw = (math.degrees(angle) for angle in (attitude.roll, attitude.pitch, attitude.yaw))
    angles = (-((-roll) % 360), pitch % 360, -((-yaw) % 360))
    return ",".join(culture.fixed(value) for value in (*attitude.position, *angles))


def depth_png(depth: NDArray[np.floating], far: float) -> bytes:
    """Encode planar depth in metres, infinite for sky, as RGBA with 255 · z / far in all three colours."""
    grey = np.round(255 * np.clip(depth / far, 0.0, 1.0)).astype(np.uint8)
    pixels = np.dstack([grey, grey, grey, np.full_like(grey, 255)])
    return bytes(cv2.imencode(".png", pixels)[1])


def sensor_frame(
    picture: Picture, body: Attitude, eye: Attitude, timestamp: float, *, far: float, culture: Culture = ENGLISH
) -> dict[str, str]:
    """Write one frame, its keys in QuadSim's order."""
    return {
        "timestamp": culture.general(timestamp),
        "pose": pose_text(body, culture),
        "gimbal_pose": pose_text(eye, culture),
        "rgb_image": base64.b64encode(encode_jpeg(picture.image)).decode(),
        "depth_image": base64.b64encode(depth_png(picture.depth, far)).decode(),
    }
