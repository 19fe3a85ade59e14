"""Makes glibc's allocator hand back what it no longer needs, so that a server that reloads its models does not grow.

By default the size from which a block is mapped on its own rises with each large block that is freed. After some
reloads the runtime's arenas of 16 MiB then lie in the heap, and small blocks among them keep them there: 60 MB after
ten.
"""

from __future__ import annotations

import ctypes
import sys

MAPPED_FROM = 4 * 1024 * 1024
"""Bytes; a frame of up to a million pixels stays below, so that frames do not pay for being mapped."""
_M_MMAP_THRESHOLD = -3
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def map_large_blocks() -> None:
    """Map blocks from ``MAPPED_FROM`` bytes on their own, in this process from now on."""
    if _LIBC is not None and hasattr(_LIBC, "mallopt"):
        _LIBC.mallopt(_M_MMAP_THRESHOLD, MAPPED_FROM)


def give_back() -> None:
    """Return to the system what lies free in the heap."""
    if _LIBC is not None and hasattr(_LIBC, "malloc_trim"):
        _LIBC.malloc_trim(0)
