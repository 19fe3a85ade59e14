"""Labelled frames as an index: where they lie, which run they come from, what is in them.

Two layouts are read. QuadSim's processed layout is a folder with ``images/`` and ``masks/``; a raw DL-Training
recording is a folder with ``IMG/`` (see :mod:`quadfollow_training.recordings`). Every file is decoded once before
training starts, so that a damaged or missing one is reported by name, together with all the others.

A *run* is one flight. Neighbouring frames of a run are nearly the same picture, so data is only ever split by
whole runs.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quadfollow_core.codec import decode_image
from quadfollow_core.errors import BadDataset, BadInput, QuadfollowError
from quadfollow_core.official_frames import evaluation_images, short_hash
from quadfollow_core.resize import PERSON, TARGET, classes_from_channels
from quadfollow_core.scoring import threshold_channels
from quadfollow_training.layout import Frame, find_frames
from quadfollow_training.memory import Memory, Sample
from quadfollow_training.recordings import classes_from_cameras


@dataclass(frozen=True, slots=True)
class Facts:
    """What decoding a frame told: size ``(width, height)``, pixels per class, hash of all its files."""

    size: tuple[int, int]
    people: int
    target: int
    digest: str


@dataclass(frozen=True)
class Frames:
    """Checked frames. ``items`` and ``facts`` run in parallel; training draws by their order."""

    items: tuple[Frame, ...]
    facts: tuple[Facts, ...]

    def __len__(self) -> int:
        return len(self.items)

    @cached_property
    def people(self) -> NDArray[np.int64]:
        """Pixels of other people, per frame."""
        return np.array([facts.people for facts in self.facts], dtype=np.int64)

    @cached_property
    def target(self) -> NDArray[np.int64]:
        """Pixels of the target, per frame."""
        return np.array([facts.target for facts in self.facts], dtype=np.int64)

    @property
    def runs(self) -> list[str]:
        """The runs in here, sorted."""
        return sorted({frame.run for frame in self.items})

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over names and contents: equal exactly when the data is."""
        lines = sorted(
            f"{frame.run}/{frame.image.name} {facts.digest}"
            for frame, facts in zip(self.items, self.facts, strict=True)
        )
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    @cached_property
    def _memory(self) -> Memory:
        return Memory(lambda index: read_frame(self.items[index]))

    def read(self, index: int) -> Sample:
        """Decode one frame, or remember it: its ``(H, W, 3)`` uint8 RGB image and ``(H, W)`` uint8 class mask."""
        return self._memory.read(index)

    def split(self, hold_out: Iterable[str]) -> tuple[Frames, Frames]:
        """Split into frames to train on and frames of the runs held out.

        Raises:
            BadInput: a run that is not here, or nothing left to train on.
        """
        held = set(hold_out)
        unknown = sorted(held - set(self.runs))
        if unknown:
            raise BadInput(f"no such run to hold out: {', '.join(unknown)}; there are {', '.join(self.runs)}")
        if held >= set(self.runs):
            raise BadInput("every run is held out: nothing is left to train on")
        return self._where(held, inside=False), self._where(held, inside=True)

    def _where(self, runs: set[str], *, inside: bool) -> Frames:
        kept = [index for index, frame in enumerate(self.items) if (frame.run in runs) == inside]
        return Frames(tuple(self.items[i] for i in kept), tuple(self.facts[i] for i in kept))


def read_frame(frame: Frame) -> Sample:
    """Decode one frame to its ``(H, W, 3)`` uint8 RGB image and ``(H, W)`` uint8 class mask."""
    image, *labels = [decode_image(path.read_bytes()) for path in (frame.image, *frame.labels)]
    return image, classes_of(labels)


def classes_of(labels: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Turn a frame's label pictures, one mask or the three cameras of a recording, into its class mask."""
    if len(labels) == 1:
        return classes_from_channels(threshold_channels(labels[0]))
    return classes_from_cameras(*labels)


def open_frames(roots: Sequence[Path], folders: Sequence[str] | None = None, *, workers: int = 16) -> Frames:
    """Find, pair and decode every frame below ``roots``; their order does not depend on that of ``roots``.

    Args:
        roots: data sets, or folders that hold some.
        folders: names of the sets wanted, as in :func:`quadfollow_training.layout.find_sets`; None for all.
        workers: decoding threads.

    Raises:
        BadDataset: nothing found, evaluation data, or unreadable or unpaired files (``problems`` names them all).
    """
    items, problems = find_frames(roots, folders)
    with ThreadPoolExecutor(min(workers, os.cpu_count() or 1)) as pool:
        results = list(pool.map(inspect, items))
    problems += [result for result in results if isinstance(result, str)]
    if problems:
        raise BadDataset(f"{len(problems)} problem(s) in the data; mend or remove these files:", problems)
    checked = [(item, facts) for item, facts in zip(items, results, strict=True) if isinstance(facts, Facts)]
    checked.sort(key=lambda pair: (pair[0].folder, pair[0].run, pair[0].image.name, pair[1].digest))
    return Frames(tuple(item for item, _ in checked), tuple(facts for _, facts in checked))


def inspect(frame: Frame) -> Facts | str:
    """Decode a frame and say what is in it, or say in one line what is wrong with it."""
    files, pictures = [], []
    for path in (frame.image, *frame.labels):
        try:
            files.append(path.read_bytes())
            pictures.append(decode_image(files[-1]))
        except (OSError, QuadfollowError) as error:
            return f"{path}: {error}"
    if short_hash(files[0]) in evaluation_images():
        return f"{frame.image}: a frame of the official evaluation sets, which score networks and never train them"
    image, *labels = pictures
    fault = _label_fault(frame, image, labels)
    if fault is not None:
        return fault
    counts = np.bincount(classes_of(labels).ravel(), minlength=3)
    digest = hashlib.sha256(b"".join(hashlib.sha256(data).digest() for data in files)).hexdigest()
    return Facts((image.shape[1], image.shape[0]), int(counts[PERSON]), int(counts[TARGET]), digest)


def _label_fault(frame: Frame, image: NDArray[np.uint8], labels: Sequence[NDArray[np.uint8]]) -> str | None:
    """Say which label picture does not fit: another size than its image, or pixels that are not of one class."""
    for path, label in zip(frame.labels, labels, strict=True):
        if label.shape != image.shape:
            sizes = [f"{picture.shape[1]}x{picture.shape[0]}" for picture in (label, image)]
            return f"{path}: is {sizes[0]}, its image {sizes[1]}"
    stray = int((threshold_channels(labels[0]).sum(axis=2) != 1).sum()) if len(labels) == 1 else 0
    if stray:
        classes = "red for background, green for other people or blue for the target"
        return f"{frame.labels[0]}: {stray} pixel(s) without exactly one class: {classes}, 255 in one channel"
    return None
