"""What a soak has shown: growth, handles, drift and the fate of each frame, each beside what it should be."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile
from typing import Any

import httpx
import numpy as np

from measuring.crowd import Scene
from measuring.ledger import DOUBLE, LOST, Span

MAX_GROWTH = 5.0
"""MiB."""
MAX_DRIFT = 0.05
NOTICED = 1.0
"""Seconds until the supervisor has noticed a death, on a busy machine."""
SILENT = re.compile(r"no heartbeat for (\S+) s")
MAX_HANDLES = 5
"""How many more there may be at the end by chance: clients come and go."""
LINE = re.compile(r"^(\S+ \S+) \w+ quadfollow_server\.(?:supervisor|serve) (.*)$", re.MULTILINE)
FLOOR = 10
"""Percentile of the memory that stays: a reload holds two of each model for a while, a leak lifts the floor too."""
PARTS = 10
"""The life of the last process is cut into so many; the first is compared with the last."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at the server."""

    time: float
    pid: int
    memory_mb: float
    """MiB that belong to the server process alone."""
    handles: int
    threads: int
    supervisor_mb: float
    session_ms: float
    """What a frame took in a session outside the server."""


def report(samples: list[Sample], kills: int, scene: Scene, log: str) -> dict[str, Any]:
    """Compare and count; the server still runs."""
    downs = spans_without_server(log)
    life = settled(samples)
    first, last = edges(life)
    fates = scene.ledger.fates(downs)
    waiting = left_waiting(scene.url)
    memory = change(life, "memory_mb", FLOOR)
    (age, best), (last_age, last_best) = (typical(scene, span) for span in (first, last))
    outside = relative(life, "session_ms")
    drift = last_age / age / (1 + outside) - 1
    traces = log.count("Traceback")
    unaccounted = sum(counted.get(LOST, 0) + counted.get(DOUBLE, 0) for counted in fates.values())
    held = {
        "every id accounted for": row(unaccounted == 0, f"{unaccounted} of {total(fates)} not"),
        "memory after warm-up": row(
            memory < MAX_GROWTH,
            f"{memory:+.1f} MiB between reloads, allowed {MAX_GROWTH:g}; median {change(life, 'memory_mb'):+.1f}",
        ),
        "file handles": row(change(life, "handles") <= MAX_HANDLES, f"{change(life, 'handles'):+.0f}"),
        "threads": row(change(life, "threads") <= 1, f"{change(life, 'threads'):+.0f}"),
        "supervisor's memory": row(supervisor(samples) < 1, f"{supervisor(samples):+.2f} MiB over the whole run"),
        "median age of answers": row(
            drift < MAX_DRIFT,
            f"{age:.1f} ms to {last_age:.1f} ms, {last_age / age - 1:+.1%}; a session outside the server "
            f"{outside:+.1%}; against that {drift:+.1%}; of the fastest tenth {last_best / best - 1:+.1%}",
        ),
        "restarts": row(len(downs) == kills, f"{len(downs)} for {kills} kills"),
        "traces in the log": row(traces == 0, str(traces)),
        "left waiting at the end": row(waiting == 0, f"{waiting:g}"),
        "clients that fell over": row(not scene.ledger.fallen, "; ".join(scene.ledger.fallen) or "0"),
    }
    return {
        "held": held,
        "fates": fates,
        "memory_mb_per_hour": slope(life, "memory_mb"),
        "handles_per_hour": slope(life, "handles"),
        "observed_minutes": round((life[-1].time - life[0].time) / 60, 1),
        "recovery_s": [round(end - begin, 2) for begin, end in downs],
        "samples": [[round(value, 2) for value in astuple(sample, samples[0].time)] for sample in samples],
    }


def typical(scene: Scene, span: Span) -> tuple[float, float]:
    """Age in milliseconds of the answers of a time: the median, and that of the fastest tenth; nan where none came."""
    ages = scene.ledger.ages(span) or [float("nan")]
    return float(np.percentile(ages, 50)), float(np.percentile(ages, 10))


def spans_without_server(log: str) -> list[Span]:
    """By its log: from when a server process was dead, or no longer showed life, until its successor was ready."""
    clocks = time.monotonic() - time.time()
    downs, gone = [], None
    for when, said in LINE.findall(log):
        moment = datetime.strptime(when, "%Y-%m-%d %H:%M:%S,%f").timestamp() + clocks
        if " was ended by " in said or " hangs: " in said:
            silent = SILENT.search(said)
            gone = moment - (float(silent[1]) if silent else 0.0) - NOTICED if gone is None else gone
        elif said.startswith("ready ") and gone is not None:
            downs.append((gone, moment))
            gone = None
    return downs


def settled(samples: list[Sample]) -> list[Sample]:
    """The life of the last process, from when it has warmed up."""
    last = list(takewhile(lambda sample: sample.pid == samples[-1].pid, reversed(samples)))[::-1]
    warm = last[0].time + min(60.0, (last[-1].time - last[0].time) / 10)
    return [sample for sample in last if sample.time >= warm]


def edges(life: list[Sample]) -> tuple[Span, Span]:
    """The first and the last part of a life."""
    begin, end = life[0].time, life[-1].time
    part = (end - begin) / PARTS
    return (begin, begin + part), (end - part, end)


def ends(life: list[Sample], name: str, percentile: float = 50) -> tuple[float, float]:
    """A percentile, by default the median, of a measure in the first and in the last part of a life."""
    first, last = (
        float(np.percentile([getattr(one, name) for one in life if span[0] <= one.time <= span[1]], percentile))
        for span in edges(life)
    )
    return first, last


def change(life: list[Sample], name: str, percentile: float = 50) -> float:
    """How much a measure, by default its median, has grown."""
    first, last = ends(life, name, percentile)
    return last - first


def relative(life: list[Sample], name: str) -> float:
    """How much a measure has grown, as a share of what it was."""
    first, last = ends(life, name)
    return last / first - 1


def supervisor(samples: list[Sample]) -> float:
    """MiB by which the supervisor, one process throughout, has grown since it was warm."""
    return samples[-1].supervisor_mb - samples[len(samples) // PARTS].supervisor_mb


def slope(life: list[Sample], name: str) -> float:
    """Growth per hour by a straight line through all samples."""
    hours = [sample.time / 3600 for sample in life]
    return round(float(np.polyfit(np.subtract(hours, hours[0]), [getattr(sample, name) for sample in life], 1)[0]), 2)


def left_waiting(url: str) -> float:
    """Frames and bytes that the server still holds although nobody asks any more."""
    text = httpx.get(f"{url}/metrics", timeout=10).text
    return sum(float(value) for value in re.findall(r"^quadfollow_waiting(?:_bytes)? (\S+)", text, re.MULTILINE))


def total(fates: dict[str, dict[str, int]]) -> int:
    """Frames sent, over all clients."""
    return sum(count for counted in fates.values() for count in counted.values())


def row(holds: bool, told: str) -> dict[str, Any]:
    """One line of the verdict."""
    return {"holds": bool(holds), "told": told}


def astuple(sample: Sample, begun: float) -> tuple[float, ...]:
    """A sample as plain numbers, its time since the run began."""
    return (
        sample.time - begun,
        sample.pid,
        sample.memory_mb,
        sample.handles,
        sample.threads,
        sample.supervisor_mb,
        sample.session_ms,
    )


def table(told: dict[str, Any]) -> str:
    """The report for people."""
    lines = [
        f"{told['minutes']:g} min, {told['streams']} streams, {told['reloads']} reloads, "
        f"servers back after {told['recovery_s']} s; {told['observed_minutes']} min of the last one observed; "
        f"{told['memory_mb_per_hour']:+.2f} MiB and {told['handles_per_hour']:+.2f} file handles per hour",
        "",
    ]
    for name, one in told["held"].items():
        lines.append(f"{'ok  ' if one['holds'] else 'NOT '} {name:26} {one['told']}")
    for who, counted in told["fates"].items():
        lines += ["", who, *(f"  {fate:32}{count:>9}" for fate, count in counted.items())]
    return "\n".join(lines)
