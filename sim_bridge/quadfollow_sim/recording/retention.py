"""How much of a recording is kept, and for how long: people are in these pictures."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path

from quadfollow_core.errors import BadInput

DAY = 86_400.0
PARTS = 8
"""A recording of limited size is written in so many files, the oldest of which goes when a new one is begun."""
LONGEST = 3600.0
"""Seconds after which a new file is begun where old ones are deleted by age."""
CHUNK = 4 << 20
"""Bytes of a chunk, the unit in which a reader finds its way, where it ends neither by time nor by a limit of size."""
LEAST = 4 << 20
"""Bytes that a limit of size must leave: in less there is room for hardly any picture."""
UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


@dataclass(frozen=True, slots=True)
class Retention:
    """What may stay; None for all of it.

    Raises:
        BadInput: not above zero, or less than a file is written by.
    """

    days: float | None = None
    """Files of the recording not written to for longer are deleted."""
    size: int | None = None
    """Bytes of all files of the recording together."""

    def __post_init__(self) -> None:
        for name, value in (("--keep-days", self.days), ("--max-size", self.size)):
            if value is not None and not value > 0:
                raise BadInput(f"{name} must be above zero, got {value}")
        if self.size is not None and self.size < LEAST:
            raise BadInput(f"--max-size must be at least {LEAST} bytes, got {self.size}")

    @property
    def chunk(self) -> int:
        """Bytes that are written at once: half a file's at most, so that its end is noticed in time."""
        return CHUNK if self.size is None else min(CHUNK, self.size // PARTS // 2)

    def is_full(self, size: int, age: float) -> bool:
        """Whether the file in hand, of ``size`` bytes and begun ``age`` seconds ago, gives way to a new one."""
        too_large = self.size is not None and size >= self.size // PARTS
        return too_large or (self.days is not None and age >= min(LONGEST, self.days * DAY))

    def prune(self, path: Path) -> list[Path]:
        """Delete what may not stay of the recording at ``path``, oldest first, before a new file of it is begun."""
        files = [(file, file.stat()) for file in series(path)]
        kept = sum(status.st_size for _, status in files)
        # A file is found to be full after its last chunk, which ends behind a whole picture.
        room = None if self.size is None else self.size - self.size // PARTS - 2 * self.chunk
        gone = []
        for file, status in files:
            old = self.days is not None and time.time() - status.st_mtime > self.days * DAY
            if not old and (room is None or kept <= room):
                continue
            file.unlink(missing_ok=True)
            kept -= status.st_size
            gone.append(file)
        return gone


def parse_size(text: str) -> int:
    """Read a size such as ``500M`` or ``2GB`` in bytes.

    Raises:
        BadInput: it is none.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)B?", text.strip().upper())
    if found is None:
        raise BadInput(f"a size is a number with K, M, G or T, such as 500M or 2G, got {text!r}")
    return int(float(found[1]) * UNITS[found[2]])


def series(path: Path) -> list[Path]:
    """The files of a recording that are there, in the order they were begun: ``NAME.mcap``, ``NAME-2.mcap``, …"""
    if not path.parent.is_dir():
        return []
    numbered = [(_number(file, path), file) for file in path.parent.iterdir()]
    return [file for number, file in sorted(row for row in numbered if row[0])]


def next_file(path: Path) -> Path:
    """The name of the recording's next file, which is never that of one that is there."""
    there = series(path)
    number = 1 + (_number(there[-1], path) if there else 0)
    return path if number == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}")


def _number(file: Path, path: Path) -> int:
    """Which file of the recording at ``path`` this is, from 1; 0 if it is none."""
    if file.name == path.name:
        return 1
    found = re.fullmatch(re.escape(path.stem) + r"-([1-9]\d*)" + re.escape(path.suffix), file.name)
    return int(found[1]) if found and int(found[1]) > 1 else 0
