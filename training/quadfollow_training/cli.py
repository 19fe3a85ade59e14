"""The console commands of training: ``train``, ``evaluate`` and the group ``data``."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from quadfollow_core.errors import Unavailable

_DATA = click.option(
    "--data",
    "data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    envvar="QUADFOLLOW_DATA",
    multiple=True,
    required=True,
    help="A data set, or a folder of data sets; may be given several times.",
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object to stdout.")
_INSTALL = 'training needs Keras: pip install "quadfollow[train]"'


@click.command()
@click.option("--recipe", "name", default="seed", show_default=True, help="What to train, and how.")
@_DATA
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="The run's folder.")
@click.option("--resume", is_flag=True, help="Go on from the last finished epoch in the run's folder.")
@click.option("--tensorboard", is_flag=True, help="Also write event files for TensorBoard.")
@click.option("--epochs", type=int, help="Override the recipe's epochs.")
@click.option("--steps", type=int, help="Override the recipe's steps per epoch.")
@click.option("--batch", type=int, help="Override the recipe's batch size.")
@click.option("--learning-rate", type=float, help="Override the recipe's (highest) learning rate.")
@click.option("--seed", type=int, help="Override the recipe's seed.")
@click.option("--workers", type=int, help="Override the recipe's decoding threads.")
@_JSON
def train(
    name: str,
    data: tuple[Path, ...],
    out: Path,
    resume: bool,
    tensorboard: bool,
    as_json: bool,
    **overrides: Any,
) -> None:
    """Train a network by a recipe."""
    try:
        from quadfollow_training import recipes
        from quadfollow_training.train import train as run
    except ImportError as error:
        raise Unavailable(_INSTALL) from error
    given = {key: value for key, value in overrides.items() if value is not None}
    recipe = replace(recipes.find_recipe(name), **given)
    _report(run(recipe, data, out, resume=resume, tensorboard=tensorboard), as_json)


def _report(result: dict[str, Any], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(result, indent=2))
        return
    for key, value in result.items():
        click.echo(f"{key:>8}: {value}")
