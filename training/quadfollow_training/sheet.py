"""A sheet of frames: image, truth and prediction side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from quadfollow_core.codec import encode_png
from quadfollow_core.resize import classes_from_channels

COLOURS = np.array([[32, 32, 32], [70, 150, 240], [240, 70, 60]], dtype=np.uint8)
"""RGB of background, person and target."""
COLUMNS = 2
SIDE = 224
_CAPTION = 18


@dataclass(frozen=True, slots=True)
class Row:
    """One frame: ``(H, W, 3)`` image, true and predicted channels (any size), and what to say about it."""

    image: NDArray[np.uint8]
    truth: NDArray[np.bool_]
    prediction: NDArray[np.bool_]
    caption: str


def draw_sheet(rows: Sequence[Row], path: Path) -> None:
    """Draw frames into one PNG, two to a line; without frames, a blank one."""
    tiles = [_tile(row) for row in rows]
    blank = np.full((SIDE + _CAPTION, 3 * SIDE, 3), 255, dtype=np.uint8)
    tiles += [blank] * (-len(tiles) % COLUMNS or (0 if tiles else COLUMNS))
    lines = [np.concatenate(tiles[start : start + COLUMNS], axis=1) for start in range(0, len(tiles), COLUMNS)]
    path.write_bytes(encode_png(np.concatenate(lines, axis=0)))


def _tile(row: Row) -> NDArray[np.uint8]:
    masks = [COLOURS[classes_from_channels(channels)] for channels in (row.truth, row.prediction)]
    pictures = [cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_NEAREST) for picture in (row.image, *masks)]
    caption = np.full((_CAPTION, 3 * SIDE, 3), 255, dtype=np.uint8)
    cv2.putText(caption, row.caption, (4, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
    return np.concatenate([caption, np.concatenate(pictures, axis=1)], axis=0).astype(np.uint8)
