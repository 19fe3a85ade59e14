"""Loss and held-out score over the epochs, drawn anew after each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from quadfollow_core.files import save_whole
from quadfollow_training.rundir import Row


def draw_curves(rows: Sequence[Row], path: Path) -> None:
    """Draw the history of a run as a PNG: losses above, held-out score below."""
    figure = Figure(figsize=(8, 7), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    for name, label in (("loss", "training"), ("val_loss", "held-out runs")):
        _line(above, rows, name, label)
    for name, label in (
        ("held_out_final", "held-out score"),
        ("held_out_iou_near", "target IoU, near"),
        ("held_out_iou_far", "target IoU, far"),
    ):
        _line(below, rows, name, label)
    above.set_ylabel("loss")
    below.set(xlabel="epoch", ylabel="score", ylim=(0, 1))
    for axes in (above, below):
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend()
    save_whole(path, lambda part: figure.savefig(part, format="png", dpi=110))


def _line(axes: Any, rows: Sequence[Row], name: str, label: str) -> None:
    points = [(row["epoch"], row[name]) for row in rows if name in row]
    if not points:
        return
    axes.plot([x for x, _ in points], [y for _, y in points], marker=".", label=label)
