"""What the export's rewrites bring: each recipe's network as tf2onnx exports it, against the graph that is served.

Runs are interleaved and compared within one session, so that a busy machine slows both alike. Weights are untrained:
they do not change the time. Prints a table; ``--json`` prints one object.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from quadfollow_export.convert import convert, to_onnx
from quadfollow_export.session import open_session
from quadfollow_training.fcn import build
from quadfollow_training.recipes import RECIPES

WARM_UP = 10


def compare(network: Any, size: tuple[int, int], threads: int, rounds: int) -> dict[str, float]:
    """Median milliseconds of one frame, as exported and as served."""
    models = {"as exported": to_onnx(network, size), "served": convert(network, size).answers}
    sessions = {name: open_session(model.SerializeToString(), threads) for name, model in models.items()}
    frame = np.random.default_rng(0).integers(0, 256, (1, size[1], size[0], 3), np.uint8)
    taken: dict[str, list[float]] = {name: [] for name in sessions}
    for _ in range(WARM_UP + rounds):
        for name, predict in sessions.items():
            started = time.perf_counter()
            predict(frame)
            taken[name].append(1e3 * (time.perf_counter() - started))
    return {name: statistics.median(times[WARM_UP:]) for name, times in taken.items()}


def main() -> None:
    """Measure every recipe with one thread and with two."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = []
    for name, recipe in RECIPES.items():
        network = build(recipe.spec)
        for threads in (1, 2):
            times = compare(network, recipe.spec.input_size, threads, options.rounds)
            rows.append({"recipe": name, "threads": threads, **times, "ratio": times["as exported"] / times["served"]})
    if options.json:
        sys.stdout.write(json.dumps({"milliseconds": rows}) + "\n")
        return
    sys.stdout.write(f"{'recipe':14}{'threads':>8}{'as exported, ms':>17}{'served, ms':>12}{'ratio':>7}\n")
    for row in rows:
        figures = f"{row['as exported']:>17.2f}{row['served']:>12.2f}{row['ratio']:>7.2f}"
        sys.stdout.write(f"{row['recipe']:14}{row['threads']:>8}{figures}\n")


if __name__ == "__main__":
    main()
