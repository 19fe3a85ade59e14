"""An MP4 of the answered frames with what was found drawn on them."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import cv2
import numpy as np
from numpy.typing import NDArray

from quadfollow_core.errors import Unavailable
from quadfollow_core.files import part_of
from quadfollow_core.overlay import draw_overlay
from quadfollow_core.stream_client import Fate
from quadfollow_core.types import Sighting
from quadfollow_sim.answers import mask_of
from quadfollow_sim.judge import Row
from quadfollow_sim.world import Observation

SIDE = 640
"""Frames are enlarged by whole numbers as long as their longer side stays within this."""
BAR = 24
"""Height of the line of text below the picture, pixels."""
FASTEST = 60.0
"""Frames per second of a film at most."""
LONGEST = 10.0
"""Seconds that a picture is shown for at most, however long there is no other."""


class VideoWriter:
    """Writes answered frames to an MP4; use it as a context manager and as a witness of the flight.

    The film is written under another name and takes its own when it is whole, also when the flight was cut short.
    It goes by as the flight did: a picture is repeated until the next one was taken. All frames have the size of the
    first; later ones of another size are fitted to it.

    Args:
        path: where the film goes.
        rate: its frames per second; FASTEST if that is less.
    """

    def __init__(self, path: Path, rate: float) -> None:
        self.path = path
        self.frames = 0
        self._rate = min(rate, FASTEST)
        self._time = 0.0
        self._captured: float | None = None
        self._last: NDArray[np.uint8]
        self._part = part_of(path)
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __call__(self, row: Row, observation: Observation, fate: Fate) -> None:
        """Add a frame if it was answered."""
        sighting = fate.sighting
        if sighting is not None:
            self._show(with_caption(_overlay(observation, fate, sighting), caption(row)), observation.captured)

    def close(self) -> None:
        """Finish the film; without any frame there is none."""
        if self._writer is None:
            return
        self._writer.release()
        self._writer = None
        self._part.replace(self.path)

    def _show(self, picture: NDArray[np.uint8], captured: float) -> None:
        """Repeat the last picture up to the time of this one; leave this one out where the film is ahead of it."""
        if self._captured is not None:
            self._time += min(captured - self._captured, LONGEST)
        self._captured, due = captured, round(self._time * self._rate)
        if self.frames > due + 1:
            return
        while self.frames < due:
            self._write(self._last)
        self._write(picture)
        self._last = picture

    def _write(self, picture: NDArray[np.uint8]) -> None:
        if self._writer is None:
            self._writer = self._open(picture.shape[1], picture.shape[0])
        if (picture.shape[1], picture.shape[0]) != self._size:
            picture = np.asarray(cv2.resize(picture, self._size), dtype=np.uint8)
        self._writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        self.frames += 1

    def _open(self, width: int, height: int) -> cv2.VideoWriter:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._size = (width, height)
        writer = cv2.VideoWriter(str(self._part), cv2.VideoWriter.fourcc(*"mp4v"), self._rate, self._size)
        if not writer.isOpened():
            raise Unavailable(f"this OpenCV cannot write MP4 to {self.path}: fly with --no-video")
        return writer


def _overlay(observation: Observation, fate: Fate, sighting: Sighting) -> NDArray[np.uint8]:
    """The frame with its overlay, enlarged; its sides are even, as MP4 wants them."""
    frame = observation.pixels()
    mask = mask_of(fate)
    if mask is not None:
        frame = draw_overlay(frame, *mask, sighting)
    times = max(1, SIDE // max(frame.shape[:2]))
    height, width = (side * times // 2 * 2 for side in frame.shape[:2])
    return np.asarray(cv2.resize(frame, (width, height), interpolation=cv2.INTER_NEAREST), dtype=np.uint8)


def caption(row: Row) -> str:
    """One line: the frame, whether the target was found, how old the answer was when it came."""
    state = "target" if row.found else "no target"
    off = "" if row.position_error_m is None else f"  off {row.position_error_m:.2f} m"
    return f"{row.name}  {state}  {row.latency_ms or 0:.0f} ms{off}"


def with_caption(picture: NDArray[np.uint8], text: str) -> NDArray[np.uint8]:
    """Add a bar with a line of text below an RGB picture."""
    bar = np.zeros((BAR, picture.shape[1], 3), dtype=np.uint8)
    cv2.putText(bar, text, (6, BAR - 7), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1, cv2.LINE_AA)
    return np.vstack([picture, bar])
