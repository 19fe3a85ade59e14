"""How many cores this process may use: those it is bound to, or the share of their time that its container gets."""

from __future__ import annotations

import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup/cpu.max")
CPUS = Path("/sys/devices/system/cpu")


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


def physical_cores() -> int:
    """Cores that this process may run on, counting those once that are two threads of one (Linux)."""
    if not hasattr(os, "sched_getaffinity"):
        return bound_cores()
    return len({_siblings(number) for number in os.sched_getaffinity(0)})


def inference_threads(asked: int = 0) -> int:
    """Threads for one inference: as asked for, else one for each physical core whose time this process gets.

    Left to itself onnxruntime counts the machine's cores, whatever share of their time it gets: threads beyond that
    wait for each other.
    """
    return asked or min(usable_cores(), physical_cores())


def _siblings(number: int) -> str:
    siblings = CPUS / f"cpu{number}" / "topology" / "thread_siblings_list"
    return siblings.read_text(encoding="ascii").strip() if siblings.is_file() else str(number)
