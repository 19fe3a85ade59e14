"""The console commands of training: ``train``, ``evaluate`` and the group ``data``."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from quadfollow_core.cli import LazyGroup, read_size
from quadfollow_core.errors import Unavailable
from quadfollow_core.shipped import find_model

_INSTALL = 'pip install "quadfollow[train]"'
_FOLDER = click.Path(file_okay=False, path_type=Path)
_MODEL = click.Path(exists=True, dir_okay=False, path_type=Path)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object to stdout.")


def data_option(*, required: bool = True) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make the option ``--data`` of the commands that take several data sets."""
    return click.option(
        "--data",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        envvar="QUADFOLLOW_DATA",
        multiple=True,
        required=required,
        help="A data set, or a folder of data sets; may be given several times.  [env: QUADFOLLOW_DATA]",
    )


def _filters(text: str) -> tuple[int, ...]:
    """Parse ``32,64,128``; click turns a ValueError into a usage error."""
    return tuple(int(part) for part in text.split(","))


@click.command()
@click.option(
    "--recipe", "recipe_name", default="seed", show_default=True, help="What to train and how: a name, or a JSON file."
)
@data_option()
@click.option("--out", type=_FOLDER, required=True, help="The run's folder.")
@click.option("--init", help="Begin with these weights: a .keras or exported .onnx file, or a shipped model's name.")
@click.option("--mistakes-of", type=_MODEL, help="Draw more of what this model gets wrong (the recipe says how much).")
@click.option("--resume", is_flag=True, help="Go on from the last finished epoch in the run's folder.")
@click.option("--hold-out", multiple=True, help="A run never to train on, instead of the recipe's; repeatable.")
@click.option("--epochs", type=int, help="Override the recipe's epochs.")
@click.option("--steps", type=int, help="Override the recipe's steps per epoch.")
@click.option("--validation-steps", type=int, help="Override the recipe's validation steps.")
@click.option("--batch", type=int, help="Override the recipe's batch size.")
@click.option("--learning-rate", type=float, help="Override the recipe's (highest) learning rate.")
@click.option(
    "--filters", type=_filters, metavar="N,N,...", help="Override the encoders' filters; the rest mirrors them."
)
@click.option("--workers", type=int, help="Override the recipe's decoding threads.")
@click.option("--seed", type=int, help="Override the recipe's seed.")
@_JSON
def train(
    recipe_name: str,
    data: tuple[Path, ...],
    out: Path,
    init: str | None,
    mistakes_of: Path | None,
    resume: bool,
    hold_out: tuple[str, ...],
    filters: tuple[int, ...] | None,
    as_json: bool,
    **overrides: Any,
) -> None:
    """Train a network by a recipe.

    The run's folder gets config.json, network.png, history.csv, curves.png, best.keras and last.keras. A run that was
    killed goes on with --resume from its last finished epoch and ends with the same weights, on the CPU bit for bit.
    """
    try:
        from quadfollow_training.recipe_files import choose_recipe
        from quadfollow_training.train import train as run
    except ImportError as error:
        raise unavailable(error) from error
    overrides["hold_out"] = hold_out or None
    recipe = replace(
        choose_recipe(recipe_name), **{key: value for key, value in overrides.items() if value is not None}
    )
    if filters:
        recipe = replace(recipe, spec=recipe.spec.with_filters(filters))
    result = run(
        recipe,
        data,
        out,
        init=None if init is None else find_model(init),
        mistakes_of=mistakes_of,
        resume=resume,
    )
    _print(result, as_json, _lines)


@click.command()
@click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--with",
    "others",
    type=_MODEL,
    required=True,
    multiple=True,
    help="A .keras network, such as the one that the run began with; repeatable, each takes part of the rest alike.",
)
@click.option(
    "--share",
    "shares",
    type=float,
    multiple=True,
    default=(0.4, 0.5, 0.6),
    show_default=True,
    help="How much of the run's network to take; the best on the held-out runs is kept.",
)
@data_option()
@click.option("--out", type=_FOLDER, required=True, help="The folder for the average, as of a run.")
@_JSON
def average(
    run: Path, others: tuple[Path, ...], shares: tuple[float, ...], data: tuple[Path, ...], out: Path, as_json: bool
) -> None:
    """Average RUN's last network with others of its line, which forgets less of what those knew."""
    try:
        from quadfollow_training.averaging import average as mix
    except ImportError as error:
        raise unavailable(error) from error
    result = mix(run, others, shares, data, out)
    _print(result, as_json, _lines)


@click.command()
@click.argument("model")
@click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    envvar="QUADFOLLOW_DATA",
    multiple=True,
    required=True,
    help="The official evaluation sets, or the folder they lie in; or labelled sets.  [env: QUADFOLLOW_DATA]",
)
@click.option("--out", type=_FOLDER, help="Where evaluation.json and worst.png go; default: the run's folder.")
@click.option(
    "--size",
    callback=read_size,
    metavar="WIDTHxHEIGHT",
    help="Input size for a model that takes any, such as 256x256.",
)
@click.option("--worst", type=click.IntRange(min=1), default=24, show_default=True, help="Frames shown in worst.png.")
@_JSON
def evaluate(
    model: str, data: tuple[Path, ...], out: Path | None, size: tuple[int, int] | None, worst: int, as_json: bool
) -> None:
    """Score MODEL with the official Follow-Me score, or on any labelled set.

    MODEL is a .keras or .onnx file, a run's folder, or a shipped model's name.
    """
    from quadfollow_core.cli import score_table
    from quadfollow_training.evaluate import evaluate as run

    run_folder = Path(model)
    result = run(run_folder if run_folder.is_dir() else find_model(model), data, out, size, worst)
    _print(result, as_json, lambda found: f"{score_table(found)}\n{found['channels']}")


@click.group(cls=LazyGroup, points="quadfollow.data_commands")
def data() -> None:
    """Fetch, check, convert and render labelled frames."""


@data.command()
@click.option("-o", "--out", type=_FOLDER, required=True, help="Where the three sets go.")
@click.option("--base-url", help="A mirror of Udacity's folder of archives.")
@_JSON
def fetch(out: Path, base_url: str | None, as_json: bool) -> None:
    """Download Udacity's three published archives and check every frame against the manifest.

    Call it again after an interruption: it goes on where it was.
    """
    try:
        from quadfollow_training.fetch_progress import progress_bars
    except ImportError as error:
        raise unavailable(error) from error
    from quadfollow_training.fetch import BASE_URL
    from quadfollow_training.fetch import fetch as run

    with progress_bars() as progress:
        result = run(out, base_url=base_url or BASE_URL, progress=progress)
    _print(result, as_json, _lines)


@data.command()
@data_option()
@click.option("-o", "--out", type=_FOLDER, help="Also write the frames in QuadSim's processed layout here.")
@_JSON
def prepare(data: tuple[Path, ...], out: Path | None, as_json: bool) -> None:
    """Check every file of a data set, say what is in it, and convert raw recordings with -o."""
    from quadfollow_training.frames import open_frames
    from quadfollow_training.prepare import convert, statistics, table

    frames = open_frames(data)
    report = statistics(frames)
    if out is not None:
        report["converted"] = convert(frames, out)
    _print(report, as_json, table)


def unavailable(error: ImportError) -> Unavailable:
    """Name the training library that is missing, and how to install it."""
    return Unavailable(f"training needs {error.name}, which is not installed: {_INSTALL}")


def _lines(result: dict[str, Any]) -> str:
    return "\n".join(f"{key:>8}: {value}" for key, value in result.items())


def _print(result: dict[str, Any], as_json: bool, layout: Callable[[dict[str, Any]], str]) -> None:
    click.echo(json.dumps(result) if as_json else layout(result))
