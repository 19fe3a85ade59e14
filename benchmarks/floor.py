"""How fast the networks are by themselves: threads x batch of plain sessions, several sessions at once, each device.

``python benchmarks/floor.py``: no server, no codec, nothing but inference. All ways of one model take turns. What a
server can reach on this machine is bounded by the best of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnxruntime
from measuring import results
from measuring.graphs import as_exported
from measuring.models import chosen, every_way, model_option
from measuring.summaries import percentiles, spread
from measuring.turns import in_turns, timed

from quadfollow_core.errors import Unavailable
from quadfollow_server.cores import bound_cores
from quadfollow_server.model_file import read_contract

NAME = "floor"
Way = Callable[[], object]


def plain_session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    """Open a session of onnxruntime's on the CPU."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def plain_ways(path: Path, batches: Sequence[int]) -> dict[str, tuple[int, Way]]:
    """Threads x batch; each way with the number of frames that one call answers."""
    contract = read_contract(path)
    ways: dict[str, tuple[int, Way]] = {}
    for threads in sorted({1, bound_cores()}):
        session = plain_session(path, threads)
        for batch in batches:
            frames = np.random.default_rng(0).integers(0, 256, (batch, contract.height, contract.width, 3), np.uint8)
            ways[f"onnxruntime, {threads} threads, batch {batch}"] = (
                batch,
                partial(session.run, None, {"image": frames}),
            )
    return ways


def exported_ways(path: Path, folder: Path) -> dict[str, tuple[int, Way]]:
    """The graph as tf2onnx exports it from the same network; nothing where the export's packages are missing."""
    contract = read_contract(path)
    frame = np.zeros((1, contract.height, contract.width, 3), np.uint8)
    with suppress(Unavailable):
        graph = as_exported(path, folder)
        return {
            f"graph as tf2onnx exports it, {threads} threads": (
                1,
                partial(plain_session(graph, threads).run, None, {"image": frame}),
            )
            for threads in sorted({1, bound_cores()})
        }
    return {}


def side_by_side(path: Path) -> tuple[int, Way]:
    """As many sessions of one thread at once as there are cores."""
    cores = bound_cores()
    contract = read_contract(path)
    frame = np.random.default_rng(0).integers(0, 256, (1, contract.height, contract.width, 3), np.uint8)
    sessions = [plain_session(path, 1) for _ in range(cores)]
    pool = ThreadPoolExecutor(cores)
    return cores, lambda: list(pool.map(lambda session: session.run(None, {"image": frame}), sessions))


def served_ways(path: Path) -> dict[str, tuple[int, Way]]:
    """What the server can run here, on each device in each variant."""
    ways: dict[str, tuple[int, Way]] = {}
    for name, segmenter in every_way(path).items():
        frame = np.zeros((segmenter.contract.height, segmenter.contract.width, 3), np.uint8)
        ways[f"served, {name}"] = 1, partial(segmenter.segment, frame)
    return ways


def measure_model(path: Path, batches: Sequence[int], rounds: int, calls: int, out: Path) -> dict[str, Any]:
    """Time all ways of one model."""
    ways = plain_ways(path, batches) | served_ways(path) | exported_ways(path, out / "graphs")
    ways[f"{bound_cores()} sessions of 1 thread at once"] = side_by_side(path)
    times = in_turns({name: timed(way, calls) for name, (_, way) in ways.items()}, rounds)
    return {"model": path.stem, "ways": {name: summary(times[name], frames) for name, (frames, _) in ways.items()}}


def summary(rounds: list[list[float]], frames: int) -> dict[str, Any]:
    """Milliseconds of a call, and frames per second over the rounds."""
    per_second = [1000 * frames * len(times) / sum(times) for times in rounds]
    return {"ms": percentiles(time for times in rounds for time in times), "frames_per_second": spread(per_second)}


def table(result: dict[str, Any]) -> str:
    """Lay out the figures."""
    head = ["model", "way", "ms per call, p50", "p95", "frames/s, median [lowest, highest round]"]
    rows = []
    for model in result["figures"]["models"]:
        for name, way in model["ways"].items():
            milliseconds = [results.number(way["ms"][key], 2) for key in ("p50", "p95")]
            rows.append([model["model"], name, *milliseconds, results.ranged(way["frames_per_second"], 0)])
    return results.table(head, rows)


@click.command()
@model_option
@click.option("--batch", "batches", multiple=True, type=int, default=(1, 2, 4, 8), show_default=True)
@click.option("--rounds", default=7, show_default=True)
@click.option("--calls", default=20, show_default=True, help="Calls in a row before the next way's turn.")
@results.out_option
def main(models: tuple[str, ...], batches: tuple[int, ...], rounds: int, calls: int, out: Path) -> None:
    """Measure the networks alone."""
    paths = chosen(models)

    def measure() -> dict[str, Any]:
        return {"models": [measure_model(path, batches, rounds, calls, out) for path in paths]}

    click.echo(table(results.run(NAME, out, {"rounds": rounds, "calls": calls, "batches": batches}, measure)))


if __name__ == "__main__":
    main()
