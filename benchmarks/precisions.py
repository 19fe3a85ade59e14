"""What each way of running a shipped model scores and takes on this machine.

``python benchmarks/precisions.py``: every device and variant that works here is scored on the official sets, through
the server's own runner: kernels round as the processor has it, so a score proven elsewhere need not hold here.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
from measuring import results
from measuring.models import chosen, every_way, model_option
from measuring.summaries import percentiles, ratio
from measuring.turns import in_turns, timed
from numpy.typing import NDArray

from quadfollow_core.scoring import combine
from quadfollow_server.choice import probe_frame
from quadfollow_server.engine import OnnxSegmenter
from quadfollow_training.evaluate import find_pairs, score_sets
from quadfollow_training.predictors import OnnxPredictor

NAME = "precisions"


class Session:
    """A segmenter as a predictor takes it: a session that runs several frames in a call."""

    def __init__(self, segmenter: OnnxSegmenter) -> None:
        self._segmenter = segmenter

    def run(self, _: list[str], feed: dict[str, NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
        """Classes and probabilities of all frames."""
        answers = [self._segmenter.segment(image) for frames in feed.values() for image in frames]
        return [np.stack(planes) for planes in zip(*answers, strict=True)]


def measure_model(path: Path, data: Path, rounds: int, calls: int) -> dict[str, Any]:
    """Score and time every way of one model."""
    ways = every_way(path)
    size = next(iter(ways.values())).contract.size
    frame = probe_frame(size, 0)
    taken = in_turns({name: timed(partial(one.segment, frame), calls) for name, one in ways.items()}, rounds)
    medians = {name: [percentiles(times)["p50"] for times in one] for name, one in taken.items()}
    pairs = find_pairs(data)
    first = next(iter(ways))
    return {
        "model": path.stem,
        "ways": {
            name: {
                "final": combine(score_sets(OnnxPredictor(Session(one), size), pairs)[0]).as_dict()["final"],
                "ms": percentiles(time for times in taken[name] for time in times),
                "times": ratio(medians[first], medians[name]),
            }
            for name, one in ways.items()
        },
    }


def table(result: dict[str, Any]) -> str:
    """Lay out the figures."""
    head = ["model", "way", "official score", "p50, ms", "× the CPU's speed"]
    rows = [
        [model["model"], name, f"{way['final']:.4f}", results.number(way["ms"]["p50"], 2), results.ranged(way["times"])]
        for model in result["figures"]["models"]
        for name, way in model["ways"].items()
    ]
    return results.table(head, rows)


@click.command()
@model_option
@click.option("--data", envvar="QUADFOLLOW_DATA", required=True, type=click.Path(path_type=Path))
@click.option("--rounds", default=9, show_default=True)
@click.option("--calls", default=20, show_default=True, help="Frames in a row before the next way's turn.")
@results.out_option
def main(models: tuple[str, ...], data: Path, rounds: int, calls: int, out: Path) -> None:
    """Measure every shipped model."""
    paths = chosen(models)

    def measure() -> dict[str, Any]:
        return {"models": [measure_model(path, data, rounds, calls) for path in paths]}

    click.echo(table(results.run(NAME, out, {"rounds": rounds, "calls": calls}, measure)))


if __name__ == "__main__":
    main()
