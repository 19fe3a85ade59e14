"""Files that are whole or not there: written beside their place under a hidden name, then moved there in one step."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path


def part_of(path: Path) -> Path:
    """Where a file that is not whole yet lies: beside its place, hidden, with the same suffix; each process its own."""
    return path.with_name(f".part-{os.getpid()}-{threading.get_ident()}-{path.name}")


Stamp = tuple[int, int, int]
"""Inode, time of change in nanoseconds, size."""


def stamp_of(path: Path) -> Stamp | None:
    """What changes whenever a file does; None while it is missing."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def save_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a file and move it to ``path``, whose folder is made; if it fails, what was there stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = part_of(path)
    try:
        write(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_whole(path: Path, data: bytes | str) -> None:
    """Write bytes, or text as UTF-8, so that ``path`` never names half of it; see :func:`save_whole`."""
    save_whole(path, lambda part: part.write_bytes(data.encode() if isinstance(data, str) else data))
