"""One thing cut out of a frame and pasted into another, where the network has not seen it yet.

A target that is always drawn with its own street is known by that street as well as by itself. The idea is that of
simple copy-paste (Ghiasi et al., 2021). Other people are pasted in the same way, so that a pasted edge tells nothing.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from quadfollow_training.memory import Sample

_RIM = np.ones((3, 3), dtype=np.uint8)


def paste(host: Sample, donor: Sample, wanted: int, rng: Generator) -> Sample:
    """Put one connected piece of the class ``wanted`` of ``donor`` into ``host``; both are of one size.

    It keeps its height in the frame give or take a sixteenth, since further up is further away, and goes anywhere
    sideways. The pixel around it comes along half transparent: compression has smeared its colours there.
    """
    image, mask = (part.copy() for part in host)
    piece = _piece(donor[1] == wanted, rng)
    left, top, width, height = cv2.boundingRect(cv2.dilate(piece, _RIM))
    rows, columns = mask.shape
    v = int(np.clip(top + rng.integers(-rows // 16, rows // 16 + 1), 0, rows - height))
    u = int(rng.integers(0, columns - width + 1))
    piece, colours = (part[top : top + height, left : left + width] for part in (piece, donor[0]))
    place = slice(v, v + height), slice(u, u + width)
    weight = ((piece + cv2.dilate(piece, _RIM)) / 2)[..., None]
    image[place] = (weight * colours + (1 - weight) * image[place]).astype(np.uint8)
    mask[place][piece > 0] = wanted
    return image, mask


def _piece(where: NDArray[np.bool_], rng: Generator) -> NDArray[np.uint8]:
    """One of the connected pieces, drawn by its size, as zeros and ones."""
    _, pieces = cv2.connectedComponents(where.astype(np.uint8))
    number = rng.choice(pieces[where])
    return np.asarray(pieces == number, np.uint8)
