"""Which way of running a model is taken: the fastest on this machine whose answers are those of its file.

It is measured once: beside a server's load the times would tell of the load. Answers are compared whenever a way is
opened, on frames on which the file itself marks a target: on others an engine that never marks any would do.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quadfollow_core.resize import TARGET
from quadfollow_server.runners import Image, Runner, timed
from quadfollow_server.segmenter import Answer
from quadfollow_server.variants import Variant, Way

WARM_UP = 5
ROUNDS = 5
RUNS = 8
"""Runs in a row before the next way takes its turn."""
GAIN = 0.9
"""Share of a variant's time that a coarser one must stay below to be taken, for each step that it is coarser."""
WRONG = 0.5
"""Most pixels that may be answered wrongly, as a share of those that are marked.

It tells a run that is wrong (1 where nothing is marked, more where something else is) from one that rounds otherwise
(0.3 at most in 8-bit integers); what a lower precision costs is proven at export.
"""
MARKED = 0.01
"""Share of a test frame's pixels that the model must surely mark as the target."""
SURE = 192
"""``target_probability``, of 255, from which a pixel is surely marked: near the threshold rounding may decide."""
TRIES = 200
"""Frames that are tried for each of the two."""
REDRAWN = 0.25
"""Share of a frame's patches that are drawn anew for the next try."""
PATCHES = 8
"""Patches of the test frames, per side."""

Probe = list[tuple[Image, Answer]]
"""Two frames and what the model's file answers to them on the CPU."""


@dataclass(frozen=True, slots=True)
class Taken:
    """Which way was found to be the fastest."""

    way: Way
    told: str
    """What was tried, in a line."""


Findings = dict[tuple[Path, tuple[Way, ...]], Taken]
"""By the model's file and the ways that were open to it."""


def measure(runners: Mapping[Way, Runner], size: tuple[int, int]) -> dict[Way, float]:
    """Median milliseconds of one frame in every way, on the same frames of ``size`` = ``(width, height)``, in turns."""
    frames = [probe_frame(size, seed) for seed in range(2)]
    times: dict[Way, list[float]] = {way: [] for way in runners}
    for runner in runners.values():
        for _ in range(WARM_UP):
            runner(frames[0])
    for _ in range(ROUNDS):
        for way, runner in runners.items():
            times[way] += [timed(runner, frames[number % 2]) for number in range(RUNS)]
    return {way: statistics.median(taken) for way, taken in times.items()}


def best(tried: Mapping[Way, float]) -> Way:
    """The fastest; a coarser one must be clearly faster than a finer one."""
    return min(tried, key=lambda way: weighed(tried[way], way[1]))


def weighed(milliseconds: float, variant: Variant) -> float:
    """A time by which variants are compared: a coarser one's counts as longer."""
    return milliseconds / GAIN**variant.coarseness


def find_probe(model: Runner, size: tuple[int, int], near: Probe | None = None) -> Probe | None:
    """Find two frames on which the model, as the CPU runs it, surely marks a target; None if it marks none.

    Where what a similar model marks is known, it is sought ``near`` that.
    """
    draw = np.random.default_rng(0)
    probe: Probe = []
    for number in range(2):
        start = near[number][0] if near else np.fliplr(probe[0][0]).copy() if probe else probe_frame(size, 0)
        found = _climb(model, start, draw)
        if found is None:
            return None
        probe.append(found)
    return probe


def _climb(model: Runner, frame: Image, draw: np.random.Generator) -> tuple[Image, Answer] | None:
    """Draw some of a frame's patches anew and keep what makes the target more probable, until it is surely marked."""
    size = frame.shape[1], frame.shape[0]
    kept, most = frame, -1.0
    for _ in range(TRIES):
        classes, probability = model(frame)
        if np.mean((classes == TARGET) & (probability >= SURE)) >= MARKED:
            return frame, (classes, probability)
        if (mean := float(probability.mean())) > most:
            kept, most = frame, mean
        redrawn = _enlarged(draw.random((PATCHES, PATCHES, 1)) < REDRAWN, size)
        frame = np.where(redrawn, probe_frame(size, int(draw.integers(1 << 32))), kept)
    return None


def wrong(runner: Runner, probe: Probe) -> float:
    """How many pixels a way answers wrongly on the frame where it does worst, as a share of those that are marked."""
    for _ in range(2):  # what records its first runs repeats them by then
        answers = [runner(frame) for frame, _ in probe]
    return max(_wrong(expected, found) for (_, expected), found in zip(probe, answers, strict=True))


def _wrong(expected: Answer, found: Answer) -> float:
    (classes, probability), (other_classes, other_probability) = expected, found
    target = classes == TARGET
    off = np.abs(probability.astype(np.int16) - other_probability)
    return max(
        np.count_nonzero(classes != other_classes) / np.count_nonzero(classes),
        np.count_nonzero(target != (other_classes == TARGET)) / np.count_nonzero(target),
        float(off.sum() / probability.sum()),
    )


def told(tried: Mapping[Way, float]) -> str:
    """Say all times in a line."""
    return ", ".join(f"{device} {variant.name} {time:.2f} ms" for (device, variant), time in tried.items())


def probe_frame(size: tuple[int, int], seed: int) -> Image:
    """An ``(H, W, 3)`` frame of coloured patches, the same for the same seed."""
    return _enlarged(np.random.default_rng(seed).integers(0, 256, (PATCHES, PATCHES, 3), np.uint8), size)


def _enlarged(patches: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    rows, columns = (np.arange(side) * PATCHES // side for side in reversed(size))
    return np.ascontiguousarray(patches[rows][:, columns])
