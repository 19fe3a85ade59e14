"""A camera's lens from pictures of a chessboard, and the file it is kept in.

The file is JSON: ``width`` and ``height`` of the pictures, the wire's ``camera`` (pixels with centres at half
integers, OpenCV's distortion), ``error_px`` (reprojection, root mean square) and ``views``.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from quadfollow_core.codec import decode_image
from quadfollow_core.errors import BadDataset, BadInput, QuadfollowError
from quadfollow_core.geometry import Camera, Intrinsics
from quadfollow_core.request import camera_header, parse_camera
from quadfollow_sim.film import FilmSource
from quadfollow_sim.replay import find_frames

FEWEST = 5
"""Views of the board that a calibration needs at least."""
MOST = 40
"""Pictures that are looked at, evenly chosen."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """A lens, in pixels of pictures of ``width`` times ``height``."""

    width: int
    height: int
    intrinsics: Intrinsics
    error_px: float = 0.0
    views: int = 0

    def camera(self, width: int, height: int) -> Camera:
        """The camera for pictures of another size with the same proportions.

        Raises:
            BadInput: their proportions differ.
        """
        if abs(width * self.height - height * self.width) > max(width, height):
            raise BadInput(f"calibrated for {self.width}x{self.height}, which {width}x{height} is no scaling of")
        return Camera(self.intrinsics.scaled(width / self.width, height / self.height))

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as the file has them."""
        size = {"width": self.width, "height": self.height, "camera": camera_header(Camera(self.intrinsics))}
        return size | {"error_px": round(self.error_px, 4), "views": self.views}


def load_calibration(path: Path) -> Calibration:
    """Read what ``quadfollow calibrate`` wrote.

    Raises:
        BadInput: it is no such file.
    """
    try:
        told = json.loads(path.read_text())
        camera = parse_camera(told["camera"])
        if camera is None or not (told["width"] > 0 and told["height"] > 0):
            raise ValueError("no camera")
        return Calibration(int(told["width"]), int(told["height"]), camera.intrinsics)
    except (OSError, ValueError, KeyError, TypeError, QuadfollowError) as error:
        raise BadInput(f"{path} is no calibration as `quadfollow calibrate` writes it: {error}") from error


def parse_board(text: str) -> tuple[int, int]:
    """Read ``9x6``, a board's inner corners per row and column.

    Raises:
        BadInput: it is no such size.
    """
    columns, _, rows = text.lower().partition("x")
    if not (columns.isdecimal() and rows.isdecimal() and int(columns) > 2 and int(rows) > 2):
        raise BadInput(f"--board counts inner corners, such as 9x6 (three or more each way), got {text!r}")
    return int(columns), int(rows)


def calibrate(pictures: Iterable[NDArray[np.uint8]], board: tuple[int, int]) -> Calibration:
    """Find the lens by which pictures ``(H, W, 3)`` RGB of one size show a flat chessboard.

    Raises:
        BadDataset: pictures of several sizes, or too few that show the whole board.
    """
    flat = np.zeros((board[0] * board[1], 3), dtype=np.float32)
    flat[:, :2] = np.mgrid[: board[0], : board[1]].T.reshape(-1, 2)
    views, sizes = [], set()
    for picture in pictures:
        grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        sizes.add((grey.shape[1], grey.shape[0]))
        found, corners = cv2.findChessboardCornersSB(grey, board)
        if found:
            views.append(np.asarray(corners, dtype=np.float32))
    if len(sizes) > 1:
        raise BadDataset(f"pictures of several sizes: {sorted(sizes)}; calibrate with those of one camera")
    if len(views) < FEWEST:
        raise BadDataset(
            f"{len(views)} picture(s) show a whole board of {board[0]}x{board[1]} inner corners, {FEWEST} are needed: "
            "hold it still, flat, well lit, tilted and into every corner of the picture"
        )
    width, height = size = sizes.pop()
    error, matrix, distortion, *_ = cv2.calibrateCamera([flat] * len(views), views, size, None, None)
    lens = (matrix[0, 0], matrix[1, 1], matrix[0, 2] + 0.5, matrix[1, 2] + 0.5)
    fx, fy, cx, cy = (float(value) for value in lens)
    coefficients = tuple(float(value) for value in np.ravel(distortion)[:5])
    return Calibration(width, height, Intrinsics(fx, fy, cx, cy, coefficients), float(error), len(views))


def read_views(path: Path) -> Iterable[NDArray[np.uint8]]:
    """Pictures of a folder or of a video, at most MOST of them, evenly chosen.

    Raises:
        BadDataset: one cannot be read.
    """
    if path.is_file():
        with contextlib.closing(FilmSource(path)) as film:
            skip = _step(len(film.times)) - 1
            shown = film.read()
            while shown is not None:
                yield shown.pixels()
                shown = film.read(skip)
        return
    frames = find_frames(path)
    for frame in frames[:: _step(len(frames))]:
        try:
            yield decode_image(frame.image.read_bytes())
        except (QuadfollowError, OSError) as error:
            raise BadDataset(f"{frame.image} cannot be read: {error}") from error


def _step(count: int) -> int:
    """Every which one of so many pictures is looked at."""
    return math.ceil(count / MOST)
