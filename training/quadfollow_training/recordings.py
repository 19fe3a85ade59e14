"""QuadSim's raw DL-Training recordings: four cameras, and the rule that turns them into classes.

``IMG/cam1_*`` is the picture; ``cam2_``, ``cam3_`` and ``cam4_`` are grey depths (255 = nothing) of other people
only, of the target only, and of everything else. A pixel belongs to whatever is nearest.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

LABEL_CAMERAS = ("cam2", "cam3", "cam4")
_NAME = re.compile(r"(cam[1-4])_(\d+)")


def camera_files(folder: Path) -> dict[str, dict[str, Path]]:
    """List the files of an ``IMG`` folder as camera → frame number → path."""
    cameras: dict[str, dict[str, Path]] = {name: {} for name in ("cam1", *LABEL_CAMERAS)}
    for path in folder.glob("*"):
        match = _NAME.search(path.stem)
        if match and path.suffix.lower() in {".png", ".jpg", ".jpeg"}:
            cameras[match[1]][match[2]] = path
    return cameras


def classes_from_cameras(
    people: NDArray[np.uint8], target: NDArray[np.uint8], surroundings: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Turn the ``(H, W, 3)`` depth pictures cam2, cam3 and cam4 into an ``(H, W)`` class mask.

    QuadSim's own rule: the argmin over (cam4 - 1, cam2, cam3) in uint8, which wraps, is background, people, target.
    """
    nearest = np.stack([surroundings[:, :, 0] - np.uint8(1), people[:, :, 0], target[:, :, 0]])
    classes: NDArray[np.uint8] = nearest.argmin(axis=0).astype(np.uint8)
    return classes
