"""A video file as a world that goes by in its own time."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from quadfollow_core.errors import BadDataset
from quadfollow_sim.timing import timing
from quadfollow_sim.world import Observation


class FilmSource:
    """A video file as a world; with ``loop`` it starts over at its end. Its time stamps are all read beforehand.

    Raises:
        BadDataset: OpenCV cannot read it, or there is no picture in it.
        BadInput: ``speed`` is not above zero.
    """

    def __init__(
        self,
        path: Path,
        *,
        speed: float = 1.0,
        loop: bool = False,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        self._path = path
        self._loop = loop
        self._timing = timing(_stamps(path, progress), speed)
        self._film = _open(path)
        self._next = 0

    @property
    def rate(self) -> float:
        """Pictures per second, on average."""
        return self._timing.rate

    @property
    def times(self) -> tuple[float, ...]:
        """When each picture is due."""
        return self._timing.times

    @property
    def again(self) -> float | None:
        """When the film begins anew."""
        return self._timing.length if self._loop else None

    def read(self, skip: int = 0) -> Observation | None:
        """Read the next picture after ``skip`` others; None at the end."""
        for _ in range(skip):
            if not self._grab():
                return None
        if not self._grab():
            return None
        shown, pixels = self._film.retrieve()
        if not shown:
            raise BadDataset(f"{self._path}: picture {self._next} cannot be decoded")
        name = f"{self._path.name}#{self._next - 1:05d}"
        return Observation(np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), dtype=np.uint8), name, time.monotonic())

    def close(self) -> None:
        """Close the file."""
        self._film.release()

    def _grab(self) -> bool:
        if self._next == len(self.times) and self._loop:
            self._film.release()
            self._film, self._next = _open(self._path), 0
        self._next += 1
        return bool(self._film.grab())


def _open(path: Path) -> cv2.VideoCapture:
    film = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    if not film.isOpened():
        raise BadDataset(f"{path} is neither a folder, an MCAP file (.mcap) nor a video that OpenCV can read")
    return film


def _stamps(path: Path, progress: Callable[[int, int], None]) -> list[float]:
    """Seconds of every picture, from the file."""
    film = _open(path)
    total, stamps = int(film.get(cv2.CAP_PROP_FRAME_COUNT)), []
    while film.grab():
        stamps.append(float(film.get(cv2.CAP_PROP_POS_MSEC)) / 1000)
        progress(len(stamps), max(total, len(stamps)))
    film.release()
    if not stamps:
        raise BadDataset(f"there is no picture in {path}")
    return stamps
