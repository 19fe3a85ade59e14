"""Which way of running a model is taken: the fastest on this machine whose answers are those of its file.

It is measured once: beside a server's load the times would tell of the load.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quadfollow_server.runners import Runner
from quadfollow_server.segmenter import Plane
from quadfollow_server.variants import Variant, Way

WARM_UP = 5
ROUNDS = 5
RUNS = 8
"""Runs in a row before the next way takes its turn."""
GAIN = 0.9
"""Share of a variant's time that a coarser one must stay below to be taken, for each step that it is coarser."""
DIFFERENT = 0.005
"""Most pixels, as a share, that may be answered otherwise than they should.

It tells a run that is wrong from one that rounds otherwise; what a lower precision costs is proven at export.
"""
LEVELS = 16
"""Levels of ``target_probability``, of 255, by which a pixel may be off and still count as answered alike."""
PATCHES = 16
"""Patches of the test frames, per side."""

Answer = tuple[Plane, Plane]


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of trying one way."""

    way: Way
    milliseconds: float
    """Median of one frame; infinite where it answered wrongly."""
    different: float
    """Share of pixels with another class, or another probability, than they should have."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Which way was found to be the fastest."""

    way: Way
    told: str
    """What was tried, in a line."""


Findings = dict[tuple[Path, tuple[Way, ...]], Finding]
"""By the model's file and the ways that were open to it."""


def measure(
    runners: Mapping[Way, Runner], size: tuple[int, int], models: Mapping[Way, Runner] | None = None
) -> list[Tried]:
    """Run every way on the same frames of ``size`` = ``(width, height)``, in turns.

    The first way tells what the answers should be; for a way whose file is another one, a runner in ``models`` does.
    """
    frames = _probe_frames(size)
    times: dict[Way, list[float]] = {way: [] for way in runners}
    answers: dict[Way, list[Answer]] = {}
    for way, runner in runners.items():
        for _ in range(WARM_UP):
            runner(frames[0])
        answers[way] = [runner(frame) for frame in frames]
    for _ in range(ROUNDS):
        for way, runner in runners.items():
            times[way] += [_timed(runner, frames[number % 2]) for number in range(RUNS)]
    first, *_ = answers.values()
    expected = {way: [model(frame) for frame in frames] for way, model in (models or {}).items()}
    return [
        Tried(way, statistics.median(times[way]), _different(expected.get(way, first), found))
        for way, found in answers.items()
    ]


def best(tried: list[Tried]) -> Tried:
    """The fastest that answers rightly; a coarser one must be clearly faster than a finer one."""
    right = [one for one in tried if one.different <= DIFFERENT]
    return min(right, key=lambda one: weighed(one.milliseconds, one.way[1]))


def weighed(milliseconds: float, variant: Variant) -> float:
    """A time by which variants are compared: a coarser one's counts as longer."""
    return milliseconds / GAIN**variant.coarseness


def answers_alike(runner: Runner, model: Runner, size: tuple[int, int]) -> bool:
    """Whether a way answers as the model on the CPU does, on the frames on which the fastest is found."""
    frames = _probe_frames(size)
    return _different([model(frame) for frame in frames], [runner(frame) for frame in frames]) <= DIFFERENT


def told(tried: list[Tried]) -> str:
    """Say all times in a line."""
    return ", ".join(
        f"{one.way[0]} {one.way[1].name} {one.milliseconds:.2f} ms"
        + ("" if one.different <= DIFFERENT else f" but {one.different:.1%} of its pixels differ")
        for one in tried
    )


def probe_frame(size: tuple[int, int], seed: int) -> NDArray[np.uint8]:
    """An ``(H, W, 3)`` frame of coloured patches, the same for the same seed."""
    width, height = size
    patches = np.random.default_rng(seed).integers(0, 256, (PATCHES, PATCHES, 3), np.uint8)
    rows, columns = (np.arange(side) * PATCHES // side for side in (height, width))
    return np.ascontiguousarray(patches[rows][:, columns])


def _probe_frames(size: tuple[int, int]) -> list[NDArray[np.uint8]]:
    return [probe_frame(size, seed) for seed in range(2)]


def _timed(runner: Runner, frame: NDArray[np.uint8]) -> float:
    started = time.perf_counter()
    runner(frame)
    return 1000 * (time.perf_counter() - started)


def _different(expected: list[Answer], found: list[Answer]) -> float:
    return float(np.mean([np.mean(_differs(*pair)) for pair in zip(expected, found, strict=True)]))


def _differs(expected: Answer, found: Answer) -> NDArray[np.bool_]:
    off = np.abs(expected[1].astype(np.int16) - found[1].astype(np.int16)) > LEVELS
    return np.asarray(off | (expected[0] != found[0]), dtype=np.bool_)
