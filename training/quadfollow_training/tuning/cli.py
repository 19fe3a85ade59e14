"""The console command ``tune``."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from quadfollow_core.cluster import ClusterPool
from quadfollow_core.errors import Unavailable
from quadfollow_training.cli import data_option

PIXELS = 30_000_000
INSTALL = 'pip install "quadfollow[tune]"'


@click.command()
@click.option(
    "--recipe", "recipe_name", default="seed", show_default=True, help="What to tune: a recipe's name or JSON file."
)
@data_option()
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Where the outcome goes.")
@click.option(
    "--storage",
    help="Where trials are kept: sqlite:///FILE, postgresql://..., or a journal FILE.log; default: trials.db in --out, "
    "with --ray trials.log.",
)
@click.option("--name", default="quadfollow", show_default=True, help="The search's name in the storage.")
@click.option("--trials", type=click.IntRange(1), default=30, show_default=True, help="Finished trials in all.")
@click.option("--epochs", type=click.IntRange(1), default=3, show_default=True, help="How often a trial is scored.")
@click.option("--pixels", type=click.IntRange(1), default=PIXELS, show_default=True, help="What a trial trains on.")
@click.option("--minutes", type=click.FloatRange(0), help="Begin no further trial after so long.")
@click.option("--hold-out", multiple=True, help="A run to score on, instead of the recipe's; repeatable.")
@click.option(
    "--seed",
    type=int,
    help="Seed of the sampler, to which the trials there are added; processes started together need one each.",
)
@click.option("--ray", metavar="ADDRESS", help="Search on this Ray cluster, HOST:6379 or auto; it shares the paths.")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="With --ray: trials at a time.")
@click.option("--gpus", type=click.FloatRange(0), default=0, show_default=True, help="With --ray: GPUs of a trial.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object to stdout.")
def tune(
    recipe_name: str,
    data: tuple[Path, ...],
    out: Path,
    storage: str | None,
    hold_out: tuple[str, ...],
    ray: str | None,
    workers: int,
    gpus: float,
    as_json: bool,
    **how: Any,
) -> None:
    """Search a recipe's learning rate, batch, loss weights and share of targets with Optuna.

    Every trial trains on a small budget of pixels and is scored on the runs held out; one below the median of the
    others is given up. Any number of processes, and with PostgreSQL or a journal machines too, may work on one storage
    (--ray starts them on a cluster), and a search that was stopped goes on. The outcome, tuning.json, can be trained
    by: quadfollow train --recipe.
    """
    try:
        from quadfollow_training.recipe_files import choose_recipe
        from quadfollow_training.tuning.report import report
        from quadfollow_training.tuning.searching import search, search_on_cluster
    except ImportError as error:
        raise Unavailable(f"tuning needs {error.name}, which is not installed: {INSTALL}") from error
    recipe, out = choose_recipe(recipe_name), out.resolve()
    if ray is None and (workers > 1 or gpus):
        raise click.UsageError("--workers and --gpus are for --ray; here, start the command several times")
    if hold_out:
        recipe = replace(recipe, hold_out=hold_out)
    searched = recipe, [path.resolve() for path in data]
    storage = absolute(storage or (f"sqlite:///{out / 'trials.db'}" if ray is None else str(out / "trials.log")))
    if ray is None:
        study = search(*searched, storage, **how)
    else:
        with ClusterPool(ray, gpus=gpus) as pool:
            study = search_on_cluster(*searched, storage, pool, workers, **how)
    outcome = report(study, recipe, out)
    click.echo(json.dumps(outcome) if as_json else _lines(outcome, out))


def absolute(storage: str) -> str:
    """The storage as every process of a cluster finds it, whatever folder it works in."""
    kind, mark, file = storage.rpartition("sqlite:///")
    return f"{kind}{mark}{Path(file).resolve()}" if mark or file.endswith(".log") else storage


def _lines(outcome: dict[str, Any], out: Path) -> str:
    best = outcome["best"]
    counts = ", ".join(f"{count} {state}" for state, count in outcome["counts"].items() if count)
    if best is None:
        return f"trials: {counts}; none was whole yet"
    matters = outcome["importance"]
    rows = [f"{name:>14}  {value:<8g}  {matters.get(name, 0):.0%}" for name, value in best["numbers"].items()]
    head = f"trials: {counts}\nbest: held-out {best['score']:.4f} in trial {best['trial']}"
    return "\n".join([head, *rows, f"train by it: quadfollow train --recipe {out / 'tuning.json'} ..."])
