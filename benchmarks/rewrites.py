"""What the export's rewrites bring: each recipe's network as tf2onnx exports it, against the graph that is served.

``python benchmarks/rewrites.py``: both graphs take turns. Weights are untrained: they do not change the time.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
from measuring import results
from measuring.summaries import percentiles, ratio
from measuring.turns import in_turns, timed

from quadfollow_server.cores import bound_cores

NAME = "rewrites"
EXPORTED, SERVED = "as exported", "served"


def compare(network: Any, size: tuple[int, int], threads: int, rounds: int, calls: int) -> dict[str, Any]:
    """Milliseconds of one frame, as exported and as served, and their ratio round by round."""
    from quadfollow_export.convert import convert, to_onnx
    from quadfollow_export.session import open_session

    models = {EXPORTED: to_onnx(network, size), SERVED: convert(network, size).answers}
    frame = np.random.default_rng(0).integers(0, 256, (1, size[1], size[0], 3), np.uint8)
    sessions = {name: open_session(model.SerializeToString(), threads) for name, model in models.items()}
    taken = in_turns({name: timed(partial(run, frame), calls) for name, run in sessions.items()}, rounds)
    medians = {name: [percentiles(times)["p50"] for times in one] for name, one in taken.items()}
    pooled = {name: percentiles(time for times in one for time in times) for name, one in taken.items()}
    return {"ms": pooled, "times": ratio(medians[EXPORTED], medians[SERVED])}


def table(result: dict[str, Any]) -> str:
    """Lay out the figures."""
    head = ["network of recipe", "threads", "as exported, p50 ms", "served, p50 ms", "exported / served"]
    rows = [
        [
            row["recipe"],
            str(row["threads"]),
            *(results.number(row["ms"][name]["p50"], 2) for name in (EXPORTED, SERVED)),
            results.ranged(row["times"]),
        ]
        for row in result["figures"]["recipes"]
    ]
    return results.table(head, rows)


@click.command()
@click.option("--recipe", "recipes", multiple=True, help="Default: all.")
@click.option("--rounds", default=9, show_default=True)
@click.option("--calls", default=20, show_default=True, help="Frames in a row before the other graph's turn.")
@results.out_option
def main(recipes: tuple[str, ...], rounds: int, calls: int, out: Path) -> None:
    """Measure with one thread and with all cores."""

    def measure() -> dict[str, Any]:
        from quadfollow_training.fcn import Spec, build
        from quadfollow_training.recipes import RECIPES

        networks: dict[Spec, list[str]] = {}
        for name in recipes or RECIPES:
            networks.setdefault(RECIPES[name].spec, []).append(name)
        rows = []
        for spec, names in networks.items():
            network = build(spec)
            for threads in sorted({1, bound_cores()}):
                figures = compare(network, spec.input_size, threads, rounds, calls)
                rows.append({"recipe": ", ".join(names), "threads": threads, **figures})
        return {"recipes": rows}

    click.echo(table(results.run(NAME, out, {"rounds": rounds, "calls": calls}, measure)))


if __name__ == "__main__":
    main()
