"""Draw what was found onto the frame it was found in.

The two colours are of Okabe and Ito's palette, told apart with every common kind of colour vision; the target
also wears a box and a cross, so that it needs no colour at all.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from quadfollow_core.resize import PERSON, TARGET, Letterbox
from quadfollow_core.types import Sighting, Target

TARGET_COLOUR = (230, 159, 0)
"""Orange, RGB."""
PERSON_COLOUR = (0, 114, 178)
"""Blue, RGB."""
OPACITY = 0.5
"""How much of a tinted pixel is the tint."""


def draw_overlay(
    frame: NDArray[np.uint8], classes: NDArray[np.uint8], letterbox: Letterbox, sighting: Sighting
) -> NDArray[np.uint8]:
    """Return a copy of the ``(H, W, 3)`` uint8 RGB frame with people and target tinted and the target boxed.

    ``classes`` is the ``(h, w)`` class mask at the model's size, ``letterbox`` says where the frame lies in it.
    """
    drawn = frame.copy()
    mask = classes_at_frame(classes, letterbox, (frame.shape[1], frame.shape[0]))
    _tint(drawn, mask == PERSON, PERSON_COLOUR)
    _tint(drawn, mask == TARGET, TARGET_COLOUR)
    if sighting.target is not None:
        _mark(drawn, sighting.target)
    return drawn


def classes_at_frame(
    classes: NDArray[np.uint8], letterbox: Letterbox, frame_size: tuple[int, int]
) -> NDArray[np.uint8]:
    """Bring an ``(h, w)`` class mask at the model's size to ``frame_size`` = ``(width, height)``, nearest pixel."""
    height, width = classes.shape
    u, v = letterbox.to_model(np.arange(frame_size[0]) + 0.5, np.arange(frame_size[1]) + 0.5)  # type: ignore[arg-type]
    columns = np.clip(np.floor(u).astype(np.intp), 0, width - 1)
    rows = np.clip(np.floor(v).astype(np.intp), 0, height - 1)
    return np.asarray(classes[rows[:, None], columns], dtype=np.uint8)


def _tint(frame: NDArray[np.uint8], where: NDArray[np.bool_], colour: tuple[int, int, int]) -> None:
    if where.any():
        frame[where] = (1 - OPACITY) * frame[where] + OPACITY * np.array(colour)


def _mark(frame: NDArray[np.uint8], target: Target) -> None:
    """Draw the target's box and a cross at its centroid, in place."""
    line = max(1, round(min(frame.shape[:2]) / 256))
    left, top, right, bottom = (round(edge) for edge in target.box)
    cv2.rectangle(frame, (left, top), (right - 1, bottom - 1), TARGET_COLOUR, line)
    u, v = (int(position) for position in target.centroid)
    cv2.drawMarker(frame, (u, v), TARGET_COLOUR, cv2.MARKER_CROSS, 8 * line, line)
