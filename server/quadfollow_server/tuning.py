"""Which device, variant and number of threads are fastest for a model on this machine, found by trying all."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from quadfollow_core.errors import QuadfollowError
from quadfollow_server.choice import probe_frame, weighed
from quadfollow_server.cores import usable_cores
from quadfollow_server.device import ON_PROCESSOR, PROVIDERS
from quadfollow_server.engine import OnnxSegmenter, load_model
from quadfollow_server.model_file import read_contract
from quadfollow_server.runners import timed
from quadfollow_server.variants import VARIANTS

TURN = 10
"""Frames in a row before the next setting takes its turn."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One way to serve a model."""

    device: str
    variant: str
    threads: int
    """0 where the device has none to choose."""

    @property
    def words(self) -> list[str]:
        """The options of ``quadfollow serve``."""
        return [word for name, value in self._options.items() for word in (f"--{name}", value)]

    @property
    def environment(self) -> dict[str, str]:
        """The same as environment variables."""
        return {f"QUADFOLLOW_SERVE_{name.upper()}": value for name, value in self._options.items()}

    @property
    def _options(self) -> dict[str, str]:
        return {name: str(value) for name, value in asdict(self).items() if value}


@dataclass(frozen=True, slots=True)
class Measured:
    """What one frame takes in a setting, host memory to host memory."""

    setting: Setting
    frames: int
    p50_ms: float
    p99_ms: float

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self.setting) | {"frames": self.frames, "p50_ms": self.p50_ms, "p99_ms": self.p99_ms}


def all_settings(devices: Sequence[str] = tuple(PROVIDERS)) -> list[Setting]:
    """All that can be tried on this machine; a variant that has to be asked for by name is not."""
    return [
        Setting(device, variant.name, threads)
        for device in devices
        for variant in VARIANTS[device]
        if variant.automatic
        for threads in (thread_counts() if device in ON_PROCESSOR else (0,))
    ]


def thread_counts() -> Iterator[int]:
    """1, 2, 4 and so on, up to the cores that this process may use."""
    cores = usable_cores()
    yield from (1 << power for power in range(cores.bit_length()) if 1 << power < cores)
    yield cores


def open_settings(
    path: Path, tried: Sequence[Setting], progress: Callable[[Setting], None] = lambda _: None
) -> tuple[dict[Setting, OnnxSegmenter], dict[Setting, str]]:
    """Open a model in every setting; return those that run and answer rightly, and why the others do not.

    ``progress`` is told of each before it is opened.

    Raises:
        NotFound, BadModel: it cannot be served at all.
    """
    read_contract(path)
    opened: dict[Setting, OnnxSegmenter] = {}
    refused: dict[Setting, str] = {}
    for one in tried:
        progress(one)
        try:
            opened[one] = load_model(path, one.device, one.threads, one.variant)
        except QuadfollowError as error:
            refused[one] = str(error)
    return opened, refused


def measure(opened: dict[Setting, OnnxSegmenter], seconds: float) -> list[Measured]:
    """Time all settings on the same frames, in turns, for so many seconds each; the fastest first."""
    times: dict[Setting, list[float]] = {one: [] for one in opened}
    end = time.monotonic() + seconds * len(opened)
    while time.monotonic() < end or not all(times.values()):
        for one, segmenter in opened.items():
            frame = probe_frame(segmenter.contract.size, len(times[one]))
            segmenter.segment(frame)  # the one before left the caches and the cores to itself
            times[one] += [timed(segmenter.segment, frame) for _ in range(TURN)]
    found = [_measured(one, values) for one, values in times.items()]
    return sorted(found, key=lambda one: one.p50_ms)


def best(found: Sequence[Measured]) -> Measured:
    """The fastest; a coarser one must be clearly faster than a finer one."""
    variants = {(device, one.name): one for device, ways in VARIANTS.items() for one in ways}
    return min(found, key=lambda one: weighed(one.p50_ms, variants[one.setting.device, one.setting.variant]))


def _measured(setting: Setting, milliseconds: Sequence[float]) -> Measured:
    p50, p99 = (round(float(value), 3) for value in np.percentile(milliseconds, (50, 99)))
    return Measured(setting, len(milliseconds), p50, p99)
