"""The one place where frames and masks change size.

Training data, export checks, scoring and the server all bring a frame to the model's size with :func:`fit_frame`;
masks are resized as the official scorer does it. A frame whose shape differs from the model's is letterboxed:
scaled as a whole, centred, and padded with black.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

BACKGROUND, PERSON, TARGET = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Letterbox:
    """Where a frame's pixels lie in the model's input: ``u_model = scale_u * u_frame + offset_u``, likewise v.

    Pixel centres are at half integers, so the same numbers hold for positions, boxes and centroids.
    """

    scale_u: float
    scale_v: float
    offset_u: float
    offset_v: float

    def to_frame(self, u: float, v: float) -> tuple[float, float]:
        """Take a position at the model's size to the frame as sent."""
        return (u - self.offset_u) / self.scale_u, (v - self.offset_v) / self.scale_v

    def to_model(self, u: float, v: float) -> tuple[float, float]:
        """Take a position in the frame as sent to the model's size."""
        return u * self.scale_u + self.offset_u, v * self.scale_v + self.offset_v


@lru_cache(maxsize=64)
def plan_fit(frame_size: tuple[int, int], model_size: tuple[int, int]) -> tuple[Letterbox, tuple[int, int, int, int]]:
    """Plan how a frame of ``(width, height)`` lies in a model input of ``(width, height)``.

    Returns the transform and the covered rectangle ``(left, top, width, height)`` in model pixels.
    """
    (width, height), (model_width, model_height) = frame_size, model_size
    scale = min(model_width / width, model_height / height)
    inner_width = max(1, round(width * scale))
    inner_height = max(1, round(height * scale))
    left, top = (model_width - inner_width) // 2, (model_height - inner_height) // 2
    box = Letterbox(inner_width / width, inner_height / height, left, top)
    return box, (left, top, inner_width, inner_height)


def fit_frame(frame: NDArray[np.uint8], model_size: tuple[int, int]) -> tuple[NDArray[np.uint8], Letterbox]:
    """Bring an ``(H, W, 3)`` uint8 frame to ``model_size`` = ``(width, height)``, keeping its proportions.

    Shrinks by pixel area, enlarges bilinearly. Returns the ``(height, width, 3)`` input and the transform.
    """
    height, width = frame.shape[:2]
    letterbox, (left, top, inner_width, inner_height) = plan_fit((width, height), model_size)
    inner = frame
    if (inner_width, inner_height) != (width, height):
        method = cv2.INTER_AREA if inner_width < width else cv2.INTER_LINEAR
        inner = np.asarray(cv2.resize(frame, (inner_width, inner_height), interpolation=method), dtype=np.uint8)
    if (inner_width, inner_height) == model_size:
        return inner, letterbox
    canvas = np.zeros((model_size[1], model_size[0], 3), dtype=np.uint8)
    canvas[top : top + inner_height, left : left + inner_width] = inner
    return canvas, letterbox


def without_bars(prediction: NDArray[np.bool_], shape: tuple[int, ...], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Cut a prediction at the model's ``(width, height)`` down to the part that a frame of ``shape`` fills."""
    _, (left, top, width, height) = plan_fit((shape[1], shape[0]), size)
    return prediction[top : top + height, left : left + width]


def fit_channels(channels: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Resize an ``(H, W, C)`` stack of class channels to ``(width, height)`` exactly as the official scorer does.

    Each channel goes through Pillow's BILINEAR as uint8 zeros and ones; Pillow rounds after each of its two
    passes, so this is neither "bilinear, then threshold" nor nearest neighbour.
    """
    if (channels.shape[1], channels.shape[0]) == size:
        return channels
    planes = [Image.fromarray(plane) for plane in np.moveaxis(channels.astype(np.uint8), 2, 0)]
    resized = [np.asarray(plane.resize(size, Image.Resampling.BILINEAR)) > 0 for plane in planes]
    return np.stack(resized, axis=2)


def classes_from_channels(channels: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Turn ``(H, W, 3)`` background, person, target channels into an ``(H, W)`` class mask.

    Where a pixel has two classes or none (which resizing leaves), target wins over person over background.
    """
    mask = np.zeros(channels.shape[:2], dtype=np.uint8)
    mask[channels[:, :, PERSON]] = PERSON
    mask[channels[:, :, TARGET]] = TARGET
    return mask


def channels_from_classes(mask: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Turn an ``(H, W)`` class mask into its ``(H, W, 3)`` channels."""
    return np.stack([mask == value for value in (BACKGROUND, PERSON, TARGET)], axis=2)
