"""Which network a training run's folder stands for."""

from __future__ import annotations

from pathlib import Path

from quadfollow_core.errors import NotFound

BEST = "best.keras"
"""The epoch with the best held-out score."""
CALIBRATED = "calibrated.keras"
"""The same with its target logit calibrated on the held-out runs."""


def run_network(folder: Path) -> Path:
    """Name the network to use of a run's folder: the calibrated one, or else the best.

    Raises:
        NotFound: there is neither.
    """
    for name in (CALIBRATED, BEST):
        if (folder / name).is_file():
            return folder / name
    raise NotFound(f"no network in {folder}: it has neither {CALIBRATED} nor {BEST}")
