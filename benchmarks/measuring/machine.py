"""The machine that was measured on, and what else it was doing."""

from __future__ import annotations

import platform
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]

from quadfollow_core.provenance import git_commit
from quadfollow_server.cores import bound_cores

RUNTIMES = ("onnxruntime-gpu", "onnxruntime", "openvino")
EVERY = 5.0
"""Seconds between two looks while something is measured: seldom enough not to be in its way."""
PACKAGES = (*RUNTIMES, "numpy", "opencv-python", "simplejpeg", "uvicorn", "uvloop", "pyzmq", "fastapi")


def describe() -> dict[str, Any]:
    """Processor, memory, system and the versions of what the time is spent in."""
    return {
        "cpu": cpu_name(),
        "cores": bound_cores(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := installed(name))},
        "commit": git_commit(__file__),
    }


def others_load(seconds: float = 2.0) -> float:
    """Share of the machine's processor time that is used while we do nothing, 0 to 1: how quiet it is."""
    return round(float(psutil.cpu_percent(seconds)) / 100, 3)


@dataclass(frozen=True, slots=True)
class Look:
    """Seconds of processor time until now, over all cores."""

    passed: float
    busy: float
    stolen: float
    """What the host gave to others although we wanted it."""
    own: float
    """Of this process, of those below it, and of those that they have waited for."""


def look() -> Look:
    """Look at the machine's clocks."""
    times, me = psutil.cpu_times(), psutil.Process()
    own = 0.0
    for one in (me, *me.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            used = one.cpu_times()
            own += used.user + used.system + used.children_user + used.children_system
    return Look(sum(times[:8]), times.user + times.nice + times.system, getattr(times, "steal", 0.0), own)


def shares(looks: Sequence[Look]) -> dict[str, float]:
    """Of the machine's time between the first and the last look, what ``others`` used and what was ``stolen``.

    A process that ends without being waited for takes its own time with it: that step counts as nothing of ours.
    """
    first, last = looks[0], looks[-1]
    own = sum(max(0.0, after.own - before.own) for before, after in pairwise(looks))
    passed = max(last.passed - first.passed, 1e-9)
    others = max(0.0, last.busy - first.busy - own)
    return {"others": round(others / passed, 3), "stolen": round((last.stolen - first.stolen) / passed, 3)}


@contextmanager
def watching() -> Iterator[dict[str, float]]:
    """Watch the machine while the block runs; what is yielded has the :func:`shares` once it has ended."""
    found: dict[str, float] = {}
    looks, over = [look()], threading.Event()

    def watch() -> None:
        while not over.wait(EVERY):
            looks.append(look())

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()
        found |= shares([*looks, look()])


def cpu_name() -> str:
    """The processor's name and, of those that change inference most, the instructions it has."""
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return platform.processor() or platform.machine()
    lines = [line.partition(":") for line in info.read_text().splitlines()]
    facts = {key.strip(): value.strip() for key, _, value in reversed(lines)}
    wide = {"avx2", "avx512f", "avx512_vnni", "amx_int8"} & set(facts.get("flags", "").split())
    return f"{facts.get('model name', platform.machine())} ({', '.join(sorted(wide)) or 'no wide instructions'})"


def installed(name: str) -> str | None:
    """The version of an installed package."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None
