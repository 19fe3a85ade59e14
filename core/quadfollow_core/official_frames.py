"""The official frames, by name and by hash: what a download must contain, and what must never be learned from.

``official_frames.txt.gz`` lists every file of Udacity's three archives as a path below the data folder and the first
16 hex digits of its SHA-256. It is made from a trusted copy by ``python -m quadfollow_training.manifest DIR``.
"""

from __future__ import annotations

import gzip
import hashlib
from functools import cache
from pathlib import Path

from quadfollow_core.scoring import EVALUATION, SETS

MANIFEST = Path(__file__).with_name("official_frames.txt.gz")
DIGITS = 16


def short_hash(data: bytes) -> str:
    """The first 16 hex digits of SHA-256: enough to recognise a file, small enough to ship thousands."""
    return hashlib.sha256(data).hexdigest()[:DIGITS]


def read_manifest(path: Path = MANIFEST) -> dict[str, str]:
    """Read a manifest as path below the data folder → short hash."""
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    return dict(line.rsplit(" ", 1) for line in lines)


@cache
def evaluation_images() -> frozenset[str]:
    """Short hashes of the official evaluation images."""
    wanted = tuple(f"{EVALUATION}/{name}/images/" for name in SETS)
    return frozenset(digest for name, digest in read_manifest().items() if name.startswith(wanted))


def is_evaluation(folder: Path) -> bool:
    """Tell by its name whether a folder lies in the official evaluation data, is a set of it or holds one."""
    path = folder.resolve()
    return EVALUATION in path.parts or path.name in SETS or any((path / name).is_dir() for name in SETS)
