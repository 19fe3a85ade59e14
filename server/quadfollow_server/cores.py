"""How many cores this process may use: those it is bound to, or the share of their time that its container gets."""

from __future__ import annotations

import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup/cpu.max")


def bound_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def share() -> float | None:
    """Cores' worth of time that the container gets (cgroup v2); None where that is all of them."""
    quota = CGROUP.read_text(encoding="ascii").split() if CGROUP.is_file() else ["max"]
    if quota[0] == "max" or int(quota[0]) >= bound_cores() * int(quota[1]):
        return None
    return int(quota[0]) / int(quota[1])


def usable_cores() -> int:
    """Whole cores' worth of time that this process gets, at least one."""
    return max(1, round(share() or bound_cores()))


def fitting_threads(asked: int) -> int:
    """Threads for one inference: as asked for, else as many as a container's share lets run; 0 to leave it open.

    onnxruntime counts the machine's cores, whatever share of their time it gets: threads beyond it wait for each other.
    """
    return asked if asked or share() is None else usable_cores()
