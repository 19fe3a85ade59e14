"""How many cores, GPUs and megabits a number of streams needs: measured costs per frame, multiplied.

The figures stand in ``plan.json`` beside this file, with the commands that measured them; what was not measured is not
guessed. ``docs/planning.md`` says where the multiplication ends.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from quadfollow_core.errors import BadInput, NotFound
from quadfollow_server.settings import option

FIGURES = Path(__file__).with_name("plan.json")
RANGES = {"streams": (1, 1e9), "hz": (1e-6, 1e6), "full": (0.01, 1), "core_price": (0, 1e9), "gpu_price": (0, 1e9)}
"""Between what a wish's numbers lie."""
NO_NETWORK = "no network"
"""What a server costs whose network costs nothing: what is left for the processor beside a GPU."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be served.

    ``full`` is the share of its time that a core or GPU may be at work: near 1 every frame waits for others.
    """

    streams: int = 1
    hz: float = 20.0
    size: str = "256x256"
    """Of a frame as sent."""
    model: str = "follow-256"
    full: float = 0.6
    core_price: float | None = None
    """Of a core for an hour, in any currency."""
    gpu_price: float | None = None

    def __post_init__(self) -> None:
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise BadInput(f"{option(name)} lies between {low:g} and {high:g}, got {value}")

    @property
    def frames(self) -> float:
        """Frames per second in all."""
        return self.streams * self.hz


@dataclass(frozen=True, slots=True)
class Machines:
    """One way to serve it: with the network on the processor, or on a GPU."""

    core_ms: float
    """Processor time per frame."""
    cores: int
    gpu_ms: float | None
    """The network's time per frame on a GPU; None where there is none."""
    gpus: int
    streams_per_core: float
    streams_per_gpu: float | None
    cost_per_stream_hour: float | None


@cache
def figures() -> dict[str, Any]:
    """What was measured."""
    told: dict[str, Any] = json.loads(FIGURES.read_text(encoding="utf-8"))
    return told


def plan(wanted: Wanted) -> dict[str, Any]:
    """Work a plan out; plain values, ready for JSON.

    Raises:
        NotFound: nothing was measured for this model or size of frame.
    """
    gpu = _gpu_ms(wanted)
    return {
        "wanted": asdict(wanted),
        "frames_per_second": wanted.frames,
        "megabits_in": _megabits(wanted.frames, _of(figures()["bytes"]["frame"], wanted.size, "size")),
        "megabits_out": _megabits(wanted.frames, figures()["bytes"]["answer"]),
        "processor": asdict(_machines(wanted, _core_ms(wanted, wanted.model), None)),
        "gpu": None if gpu is None else asdict(_machines(wanted, _core_ms(wanted, NO_NETWORK), gpu)),
        "measured_on": _measured_on(gpu),
    }


def text(told: dict[str, Any]) -> str:
    """Lay a plan out for people."""
    wanted = told["wanted"]
    lines = [
        f"{wanted['streams']} streams of {wanted['size']} at {wanted['hz']:g} Hz through {wanted['model']}: "
        f"{told['frames_per_second']:g} frames/s, {told['megabits_in']:.1f} Mbit/s in, {told['megabits_out']:.1f} out",
        f"without a GPU: {_shown(told['processor'])}",
        "with GPUs:     " + ("not measured" if told["gpu"] is None else _shown(told["gpu"])),
        f"each at most {wanted['full']:.0%} at work",
    ]
    return "\n".join([*lines, *(f"measured: {source}" for source in told["measured_on"])])


def _machines(wanted: Wanted, core_ms: float, gpu_ms: float | None) -> Machines:
    cores = _needed(wanted, core_ms)
    gpus = 0 if gpu_ms is None else _needed(wanted, gpu_ms)
    return Machines(
        core_ms,
        cores,
        gpu_ms,
        gpus,
        _streams_each(wanted, core_ms),
        None if gpu_ms is None else _streams_each(wanted, gpu_ms),
        _cost(wanted, cores, gpus),
    )


def _needed(wanted: Wanted, milliseconds: float) -> int:
    return max(1, math.ceil(wanted.frames * milliseconds / 1000 / wanted.full))


def _streams_each(wanted: Wanted, milliseconds: float) -> float:
    return round(1000 * wanted.full / milliseconds / wanted.hz, 1)


def _cost(wanted: Wanted, cores: int, gpus: int) -> float | None:
    """Price of one stream for an hour; None where a price that it takes is not given."""
    if wanted.core_price is None or (gpus and wanted.gpu_price is None):
        return None
    return (cores * wanted.core_price + gpus * (wanted.gpu_price or 0.0)) / wanted.streams


def _core_ms(wanted: Wanted, model: str) -> float:
    return float(_of(_of(figures()["processor"]["core_ms"], model, "model"), wanted.size, "size"))


def _gpu_ms(wanted: Wanted) -> float | None:
    """The network's time on a GPU; None where it was not measured."""
    gpu = figures()["gpu"]
    found: float | None = None if gpu is None else gpu["network_ms"].get(wanted.model)
    return found


def _of(table: dict[str, Any], key: str, what: str) -> Any:
    if key not in table:
        known = ", ".join(name for name in table if name != NO_NETWORK)
        raise NotFound(f"no {what} {key!r} was measured: take {known}, or measure it with benchmarks/planning.py")
    return table[key]


def _megabits(per_second: float, size: int) -> float:
    return round(per_second * size * 8 / 1e6, 2)


def _measured_on(gpu_ms: float | None) -> list[str]:
    processor, gpu = figures()["processor"], figures()["gpu"]
    told = [f"{processor['machine']['cpu']}, {processor['machine']['cores']} cores: {processor['command']}"]
    return told if gpu_ms is None else [*told, f"{gpu['card']}, the network alone: {gpu['command']}"]


def _shown(machines: dict[str, Any]) -> str:
    shown = _share(machines["cores"], "cores", machines["core_ms"], machines["streams_per_core"])
    if machines["gpu_ms"] is not None:
        shown = f"{_share(machines['gpus'], 'GPUs', machines['gpu_ms'], machines['streams_per_gpu'])} and {shown}"
    cost = machines["cost_per_stream_hour"]
    return shown if cost is None else f"{shown}; {cost:.4f} per stream and hour"


def _share(number: int, what: str, milliseconds: float, streams: float) -> str:
    return f"{number} {what} ({milliseconds:g} ms per frame, {streams:g} streams each)"
