"""The machine that was measured on, and what else it was doing."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]

from quadfollow_core.provenance import git_commit
from quadfollow_server.cores import bound_cores

RUNTIMES = ("onnxruntime-gpu", "onnxruntime", "openvino")
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
