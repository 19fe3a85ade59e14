"""Decoded frames kept in memory, so that an epoch after the first decodes nothing."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Sample = tuple[NDArray[np.uint8], NDArray[np.uint8]]
"""An ``(H, W, 3)`` RGB image and its ``(H, W)`` class mask."""


class Memory:
    """Samples by their number, decoded when first asked for.

    They are kept until ``limit`` bytes are used, by default a quarter of the machine's memory; the others are decoded
    each time. Several threads may read at once.
    """

    def __init__(self, decode: Callable[[int], Sample], limit: int | None = None) -> None:
        self.decode = decode
        self.limit = _quarter_of_memory() if limit is None else limit
        self.used = 0
        self._kept: dict[int, Sample] = {}

    def read(self, index: int) -> Sample:
        """Return image and class mask, which nobody may write to."""
        kept = self._kept.get(index)
        if kept is not None:
            return kept
        image, mask = self.decode(index)
        image.flags.writeable = mask.flags.writeable = False
        if self.used + image.nbytes + mask.nbytes <= self.limit:
            self.used += image.nbytes + mask.nbytes
            self._kept[index] = image, mask
        return image, mask


def _quarter_of_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4
