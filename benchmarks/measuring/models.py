"""Which models are measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from quadfollow_core.shipped import find_model, shipped_models
from quadfollow_server.engine import OnnxSegmenter
from quadfollow_server.tuning import Setting, open_settings
from quadfollow_server.variants import VARIANTS

model_option = click.option("--model", "models", multiple=True, help="Shipped models' names. Default: all.")


def chosen(names: Sequence[str]) -> list[Path]:
    """The files of these shipped models, of all where none is named."""
    return [find_model(name) for name in names] or list(shipped_models())


def every_way(path: Path) -> dict[str, OnnxSegmenter]:
    """A model opened in every way that works here, by device and variant, the plain one on the CPU first."""
    tried = [Setting(device, variant.name, 0) for device, variants in VARIANTS.items() for variant in variants]
    opened, _ = open_settings(path, tried)
    return {f"{one.device}, {one.variant}": segmenter for one, segmenter in opened.items()}
