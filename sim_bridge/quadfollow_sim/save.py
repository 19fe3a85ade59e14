"""Write a world's frames to disk in QuadSim's processed layout, for training, evaluation and replay."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from quadfollow_core.codec import as_file, encode_png, sniff
from quadfollow_core.errors import BadInput
from quadfollow_core.resize import channels_from_classes
from quadfollow_sim.pace import clock_of
from quadfollow_sim.replay import IMAGES, MASKS
from quadfollow_sim.world import FrameSource, Live, Observation

QUALITY = 75
"""Of what is saved as JPEG: QuadSim's own."""
PATIENCE = 0.1
"""Seconds between two looks at whether the time is over, while nothing is due."""


def save_frames(source: FrameSource, folder: Path, seconds: float | None = None) -> int:
    """Write a source's frames to ``folder/images/*`` and, where it knows the truth, ``folder/masks/*.png``.

    Nobody waits for a frame that is only due later; a camera's are taken as they come.

    Args:
        source: the world; it stays open.
        folder: where to; it is made.
        seconds: those due within so many; None for all of them.

    Returns:
        How many were written.

    Raises:
        BadInput: the folder holds frames already, and theirs and ours would mix.
    """
    for part in (folder / IMAGES, folder / MASKS):
        if part.is_dir() and any(part.iterdir()):
            raise BadInput(f"{part} is not empty: give a new folder, so that recordings do not mix")
    count = 0
    for count, observation in enumerate((_live if isinstance(source, Live) else _due)(source, seconds), 1):
        _save(observation, folder, count - 1)
    return count


def _live(source: FrameSource, seconds: float | None) -> Iterator[Observation]:
    """A camera's frames, by the real clock."""
    clock = clock_of(source)
    while not clock.past(seconds):
        if (left := clock.until_due()) > 0:
            time.sleep(min(left, PATIENCE))
            continue
        clock.tick()
        if (observation := source.read()) is None:
            return
        yield observation


def _due(source: FrameSource, seconds: float | None) -> Iterator[Observation]:
    """The frames that are due within a time, one after the other."""
    clock = clock_of(source)
    for number in itertools.count():
        if seconds is not None and clock.due(number) >= seconds:
            return
        if (observation := source.read()) is None:
            return
        yield observation


def _save(observation: Observation, folder: Path, number: int) -> None:
    data = as_file(observation.image, QUALITY)
    _write(folder / IMAGES / f"cam1_{number:05d}.{sniff(data)}", data)
    if observation.truth is not None:
        channels = channels_from_classes(observation.truth).astype(np.uint8) * np.uint8(255)
        _write(folder / MASKS / f"mask_{number:05d}.png", encode_png(channels))


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
