"""What a network can score at most if its training masks are shrunk by another rule than the scorer's.

``QUADFOLLOW_DATA=dir python benchmarks/masks.py``: the target's IoU between its mask as the official scorer shrinks it
and as other rules do, over the recordings' frames that show a target, by its size in the whole frame.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
from measuring import results
from numpy.typing import NDArray

from quadfollow_core.resize import TARGET, channels_from_classes, fit_channels
from quadfollow_training.frames import open_frames
from quadfollow_training.recipes import OFFICIAL

NAME = "masks"
SIZES = (4, 10, 20, 40, 80, 160, 320)
"""Pixels of the target, the least of each row."""
Mask = NDArray[np.bool_]


def scorers(target: Mask, side: int) -> Mask:
    """The scorer's rule: Pillow's BILINEAR on zeros and ones."""
    return fit_channels(channels_from_classes(np.where(target, TARGET, 0).astype(np.uint8)), (side, side))[..., TARGET]


def covered(part: float) -> Callable[[Mask, int], Mask]:
    """Make a rule: a pixel belongs to the target if more than so much of it does."""

    def shrink(target: Mask, side: int) -> Mask:
        return cv2.resize(target.astype(np.float32), (side, side), interpolation=cv2.INTER_AREA) > part

    return shrink


def nearest(target: Mask, side: int) -> Mask:
    """The middle of each pixel decides."""
    return cv2.resize(target.astype(np.uint8), (side, side), interpolation=cv2.INTER_NEAREST_EXACT) > 0


RULES = {"more than half covered": covered(0.5), "more than 0.4 covered": covered(0.4), "nearest pixel": nearest}


def agreement(a: Mask, b: Mask) -> float:
    """IoU; 1 where both are empty."""
    union = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / union if union else 1.0


def table(result: dict[str, Any]) -> str:
    """Lay out the figures."""
    head = ["target, pixels", "frames", *RULES]
    rows = [
        [f"{least} and more", str(one["frames"]), *(results.number(one["iou"][name], 3) for name in RULES)]
        for least, one in result["figures"].items()
    ]
    return results.table(head, rows)


@click.command()
@click.option("--side", default=160, show_default=True, help="Pixels of the network's input.")
@click.option("--every", default=3, show_default=True, help="Look at each so manieth frame.")
@results.out_option
def main(side: int, every: int, out: Path) -> None:
    """Compare the rules."""
    frames = open_frames([Path(os.environ["QUADFOLLOW_DATA"])], OFFICIAL)

    def measure() -> dict[str, Any]:
        found: dict[int, list[list[float]]] = {least: [] for least in SIZES}
        for index in np.flatnonzero(frames.target >= SIZES[0])[::every]:
            target = frames.read(int(index))[1] == TARGET
            truth = scorers(target, side)
            least = max(size for size in SIZES if size <= np.count_nonzero(target))
            found[least].append([agreement(truth, rule(target, side)) for rule in RULES.values()])
        return {
            str(least): {"frames": len(rows), "iou": dict(zip(RULES, np.mean(rows, axis=0).tolist(), strict=True))}
            for least, rows in found.items()
        }

    click.echo(table(results.run(NAME, out, {"side": side, "every": every}, measure)))


if __name__ == "__main__":
    main()
