"""An exported model, read as a training needs it: its graph, and what its contract tells of its own training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError

from quadfollow_core.contract import Contract
from quadfollow_core.errors import BadModel


def is_exported(path: Path) -> bool:
    """Tell an exported model from a network as training keeps it (``.keras``), by its name."""
    return path.suffix == ".onnx"


def read_exported(path: Path) -> tuple[Any, Contract]:
    """Read a model's graph and contract.

    Raises:
        BadModel: it is not a model that ``quadfollow export`` wrote.
    """
    try:
        model = onnx.load(path)
        return model.graph, Contract.from_onnx(model)
    except (OSError, DecodeError, BadModel) as error:
        raise BadModel(f"{path} is not an exported model: {error}") from error
