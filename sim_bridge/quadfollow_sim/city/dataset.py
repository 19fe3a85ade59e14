"""Labelled sets from the city in QuadSim's processed layout, rendered in parallel, resumable, written atomically.

A set is cut into runs: one run is one city with its own seed, people and light. Every frame has its own random
numbers, so the pictures depend on neither the number of workers nor on where an earlier rendering stopped.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.random import SeedSequence
from numpy.typing import NDArray

from quadfollow_core.cluster import ClusterPool
from quadfollow_core.codec import encode_jpeg, encode_png
from quadfollow_core.errors import BadInput, Unavailable
from quadfollow_core.files import write_whole
from quadfollow_core.geometry import Intrinsics
from quadfollow_core.resize import BACKGROUND, channels_from_classes
from quadfollow_sim.city.city import FIELD_OF_VIEW
from quadfollow_sim.city.looks import draw_setting
from quadfollow_sim.city.outfits import find_look
from quadfollow_sim.city.presets import PRESETS, find_preset
from quadfollow_sim.city.renderer import Picture, Renderer
from quadfollow_sim.city.views import draw_view

RUN_FRAMES = 128
"""Frames of one city."""
_HOUR = 3600.0
_RECIPE = "render.json"
ONE_THREAD = {"LP_NUM_THREADS": "0"}
"""What keeps Mesa's software renderer to one thread: the processes are what is parallel."""

Progress = Callable[[int, int], None]
"""Called with the frames done so far and their whole number."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a set is made of; it is saved beside the set, and a set is only gone on with by the same recipe."""

    presets: tuple[str, ...] = ("street",)
    """Runs take them in turn."""
    count: int = 1000
    seed: int = 0
    label_range: float = 50.0
    """Metres beyond which people are not labelled, as in QuadSim's own sets."""
    quality: int = 75
    """Of the JPEG files."""
    size: int = 256
    outfit: str = "red"
    """The target's, by name."""

    def __post_init__(self) -> None:
        if not self.presets:
            raise BadInput(f"name a preset: {', '.join(PRESETS)}")
        for name in self.presets:
            find_preset(name)
        find_look(self.outfit)
        if self.count < 1 or self.seed < 0:
            raise BadInput(f"count is at least 1 and seed at least 0, got {self.count} and {self.seed}")

    @property
    def runs(self) -> int:
        """Number of cities."""
        return math.ceil(self.count / RUN_FRAMES)

    def preset(self, run: int) -> str:
        """Name a run's preset."""
        return self.presets[run % len(self.presets)]

    def frames(self, run: int) -> range:
        """Numbers of a run's frames, within it."""
        return range(min(RUN_FRAMES, self.count - run * RUN_FRAMES))


def render_dataset(recipe: Recipe, folder: Path, pool: Executor, progress: Progress | None = None) -> int:
    """Render what is missing of a set; return how many frames that was.

    Args:
        recipe: what is in the set.
        folder: where it lies, for all processes of the pool.
        pool: see :func:`local_pool` and :func:`cluster_pool`; what it has not begun when this ends is cancelled.
        progress: told how many frames are done, of how many.

    Raises:
        BadInput: the folder holds a set of another recipe.
        Unavailable: nothing can be drawn on this machine, or a process was killed.
    """
    _prepare(recipe, folder)
    todo = {run: missing for run in range(recipe.runs) if (missing := _missing(recipe, folder, run))}
    total = sum(len(frames) for frames in todo.values())
    done = recipe.count - total
    for count in _render_runs(recipe, folder.resolve(), todo, pool):
        done += count
        if progress is not None:
            progress(done, recipe.count)
    return total


def local_pool(workers: int | None = None) -> Executor:
    """As many processes of this machine; by default one per core."""
    context = multiprocessing.get_context("spawn")  # a forked process cannot share OpenGL
    return ProcessPoolExecutor(workers or os.cpu_count() or 1, context, initializer=_start_worker)


def cluster_pool(address: str) -> Executor:
    """The cores of a Ray cluster; see :class:`quadfollow_core.cluster.ClusterPool`."""
    return ClusterPool(address, environment=ONE_THREAD)


def _render_runs(recipe: Recipe, folder: Path, todo: dict[int, list[int]], pool: Executor) -> Iterator[int]:
    """Yield the number of frames of each run as it is finished."""
    try:
        jobs = [pool.submit(render_run, recipe, folder, run, frames) for run, frames in todo.items()]
        for job in as_completed(jobs):
            yield job.result()
    except BrokenProcessPool as error:
        raise Unavailable("a rendering process was killed, most often for memory: run again to go on") from error
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    """Keep a process to one thread, and have it end with the one that began it instead of waiting for work for ever."""
    for name, value in ONE_THREAD.items():
        os.environ.setdefault(name, value)
    cv2.setNumThreads(1)
    threading.Thread(target=_end_with_parent, name="quadfollow-parent", daemon=True).start()


def _end_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)


def render_run(recipe: Recipe, folder: Path, run: int, frames: list[int]) -> int:
    """Render some frames of one run; return how many."""
    setting = draw_setting(recipe.preset(run), _seed(recipe, run), recipe.outfit)
    lens = Intrinsics.from_fov(recipe.size, recipe.size, FIELD_OF_VIEW)
    with Renderer(setting, recipe.size) as renderer:
        for frame in frames:
            rng = np.random.default_rng(SeedSequence([recipe.seed, run, frame]))
            time = float(rng.uniform(0, _HOUR))
            camera = draw_view(setting, time, lens, rng)
            renderer.pose_people(time)
            _write(recipe, folder, run, frame, renderer.render(camera))
    return len(frames)


def _seed(recipe: Recipe, run: int) -> int:
    order = list(PRESETS).index(recipe.preset(run))
    return int(SeedSequence([recipe.seed, order, run]).generate_state(1)[0])


def paths(recipe: Recipe, folder: Path, run: int, frame: int) -> tuple[Path, Path]:
    """Name a frame's image and mask; both sort in the same order."""
    name = f"city_{recipe.preset(run)}_run{run:04d}"
    return folder / "images" / f"{name}cam1_{frame:05d}.jpeg", folder / "masks" / f"{name}_mask_{frame:05d}.png"


def _write(recipe: Recipe, folder: Path, run: int, frame: int, picture: Picture) -> None:
    image, mask = paths(recipe, folder, run, frame)
    classes = np.where(picture.depth > recipe.label_range, np.uint8(BACKGROUND), picture.classes)
    write_whole(mask, encode_png(_one_hot(classes)))
    write_whole(image, encode_jpeg(picture.rgb, recipe.quality))


def _one_hot(classes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """QuadSim's mask: red for background, green for people, blue for the target, 0 or 255."""
    return np.asarray(channels_from_classes(classes).astype(np.uint8) * np.uint8(255))


def _prepare(recipe: Recipe, folder: Path) -> None:
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    path, wanted = folder / _RECIPE, json.dumps(asdict(recipe), indent=2)
    if path.exists() and path.read_text() != wanted:
        raise BadInput(f"{folder} holds a set of another recipe ({path.name}): choose another folder")
    write_whole(path, wanted)


def _missing(recipe: Recipe, folder: Path, run: int) -> list[int]:
    return [
        frame for frame in recipe.frames(run) if not all(path.exists() for path in paths(recipe, folder, run, frame))
    ]
