"""The frame that everybody is sent."""

from __future__ import annotations

import cv2
import numpy as np

from quadfollow_core.codec import decode_image, encode_jpeg
from quadfollow_sim.drawn import DrawnSource

SIZE = (256, 256)


def frame(size: tuple[int, int] = SIZE) -> bytes:
    """A JPEG of ``(width, height)`` with a target and passers-by; 256x256 is the simulator's own size."""
    observation = DrawnSource().read(56)
    assert observation is not None
    assert isinstance(observation.image, bytes)
    if size == SIZE:
        return observation.image
    return encode_jpeg(np.asarray(cv2.resize(decode_image(observation.image), size), np.uint8))
