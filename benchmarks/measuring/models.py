"""Which models are measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from quadfollow_core.shipped import find_model, shipped_models

model_option = click.option("--model", "models", multiple=True, help="Shipped models' names. Default: all.")


def chosen(names: Sequence[str]) -> list[Path]:
    """The files of these shipped models, of all where none is named."""
    return [find_model(name) for name in names] or list(shipped_models())
