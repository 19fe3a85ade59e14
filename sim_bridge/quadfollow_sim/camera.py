"""A camera that is really there, or a stream from elsewhere, as a world: its newest picture whenever one is due."""

from __future__ import annotations

import threading
import time

import cv2
import numpy as np
from numpy.typing import NDArray

from quadfollow_core.errors import BadInput, Unavailable
from quadfollow_sim.world import Observation

PATIENCE = 5.0
"""Seconds without any picture after which the world has ended."""


class CameraSource:
    """What OpenCV sees through a camera (its number) or an address such as ``rtsp://…``; no drone.

    A thread reads on and on and keeps only the newest picture, so that none is older than the camera makes it.

    Args:
        source: a camera's number, or an address.
        rate: pictures per second that are taken, at most.

    Raises:
        Unavailable: OpenCV cannot open it.
        BadInput: ``rate`` is not above zero.
    """

    def __init__(self, source: str, *, rate: float) -> None:
        if not rate > 0:
            raise BadInput(f"--rate must be above zero, got {rate}")
        self._rate = rate
        self._source = source
        self._eye = cv2.VideoCapture(int(source)) if source.isdecimal() else cv2.VideoCapture(source, cv2.CAP_FFMPEG)
        if not self._eye.isOpened():
            raise Unavailable(f"OpenCV cannot open {source}: give a camera's number (0), a video file or rtsp://…")
        self._count = 0
        self._newest: NDArray[np.uint8] | None = None
        self._came = time.monotonic()
        self._replaced = 0
        self._news = threading.Condition()
        self._over = False
        self._thread = threading.Thread(target=self._look, name="camera", daemon=True)
        self._thread.start()

    @property
    def rate(self) -> float:
        """Pictures per second at most."""
        return self._rate

    @property
    def waiting(self) -> float | None:
        """Seconds that the newest picture has been there; None while there is none, 0 when no more come."""
        with self._news:
            since = time.monotonic() - self._came
            if self._newest is not None:
                return since
            return 0.0 if self._over or since > PATIENCE else None

    @property
    def replaced(self) -> int:
        """Pictures that a newer one replaced since the last was read."""
        return self._replaced

    def read(self, skip: int = 0) -> Observation | None:
        """Return the newest picture that was not shown yet, waiting for it; None when no more come."""
        with self._news:
            left = self._came + PATIENCE - time.monotonic()
            self._news.wait_for(lambda: self._newest is not None or self._over, left)
            if self._newest is None:
                return None
            captured, pixels = self._came, self._newest
            self._newest, self._replaced = None, 0
        self._count += 1
        rgb = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), dtype=np.uint8)
        return Observation(rgb, f"{self._source}#{self._count - 1:05d}", captured)

    def close(self) -> None:
        """Let the camera go."""
        self._over = True
        self._thread.join(PATIENCE)

    def _look(self) -> None:
        while not self._over:
            seen, pixels = self._eye.read()
            with self._news:
                if seen:
                    self._replaced += self._newest is not None
                    self._came, self._newest = time.monotonic(), np.asarray(pixels, dtype=np.uint8)
                else:
                    self._over = True
                self._news.notify()
        self._eye.release()
