"""Write a world's frames to disk in QuadSim's processed layout, for training, evaluation and replay."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from quadfollow_core.codec import encode_jpeg, encode_png, sniff
from quadfollow_core.errors import BadInput
from quadfollow_core.resize import channels_from_classes
from quadfollow_sim.replay import IMAGES, MASKS
from quadfollow_sim.world import FrameSource, Observation


def save_frames(source: FrameSource, folder: Path) -> int:
    """Write all frames of a source to ``folder/images/*`` and, where it knows the truth, ``folder/masks/*.png``.

    Returns how many were written.

    Raises:
        BadInput: the folder holds frames already, and theirs and ours would mix.
    """
    for part in (folder / IMAGES, folder / MASKS):
        if part.is_dir() and any(part.iterdir()):
            raise BadInput(f"{part} is not empty: give a new folder, so that recordings do not mix")
    count = 0
    for count, observation in enumerate(iter(source.read, None), 1):
        _save(observation, folder, count - 1)
    return count


def _save(observation: Observation, folder: Path, number: int) -> None:
    image = observation.image
    data = image if isinstance(image, bytes) else encode_jpeg(image)
    _write(folder / IMAGES / f"cam1_{number:05d}.{sniff(data)}", data)
    if observation.truth is not None:
        channels = channels_from_classes(observation.truth).astype(np.uint8) * np.uint8(255)
        _write(folder / MASKS / f"mask_{number:05d}.png", encode_png(channels))


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
