"""The console command ``study``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from quadfollow_core.errors import BadInput
from quadfollow_training.cli import data_option, unavailable

PIXELS = 30_000_000


@click.command()
@data_option(required=False)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("benchmarks/study"),
    show_default=True,
    help="The folder of results, one file per arm and seed; what is there is not measured again.",
)
@click.option("--arm", "names", multiple=True, help="Only this arm; repeatable.")
@click.option("--seeds", type=click.IntRange(1), help="Seeds per arm; default: 3 for the arms that decide, else 1.")
@click.option("--pixels", type=click.IntRange(1), default=PIXELS, show_default=True, help="What each arm trains on.")
@click.option("--minutes", type=click.FloatRange(0), help="Begin no further arm after so long.")
@click.option("--hold-out", multiple=True, help="A run never to train on, instead of the recipes'; repeatable.")
@click.option(
    "--page",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Only write this page, with its plots in img/ beside it, from the results that are there.",
)
@click.option(
    "--tuning",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("benchmarks/tuning"),
    show_default=True,
    help="Where `quadfollow tune` left its outcome, for the page.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object to stdout.")
def study(
    data: tuple[Path, ...],
    out: Path,
    names: tuple[str, ...],
    seeds: int | None,
    pixels: int,
    minutes: float | None,
    hold_out: tuple[str, ...],
    page: Path | None,
    tuning: Path,
    as_json: bool,
) -> None:
    """Measure what each part of the network and of its training is worth.

    Every arm changes one thing and trains on the same small budget of pixels; it is scored on runs held out. Several
    processes may share a folder of results, each measuring what none has begun; one that was stopped goes on. For one
    core each, set TF_NUM_INTRAOP_THREADS=1 and TF_NUM_INTEROP_THREADS=1.
    """
    try:
        from quadfollow_training.study.arms import find_arms
        from quadfollow_training.study.page import write_page
        from quadfollow_training.study.results import Results
        from quadfollow_training.study.running import run_study
    except ImportError as error:
        raise unavailable(error) from error
    results = Results(out)
    if page is not None:
        found = write_page(results, page, tuning)
    elif data:
        found = run_study(data, results, find_arms(names, hold_out), pixels=pixels, seeds=seeds, minutes=minutes)
    else:
        raise BadInput("the study needs the published frames: --data, or QUADFOLLOW_DATA; or --page for what is there")
    click.echo(json.dumps(found) if as_json else "\n".join(f"{key}: {value}" for key, value in found.items()))
