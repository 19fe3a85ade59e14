"""The network that more training begins with (``quadfollow train --init``), in half the room that its run gives it."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import keras
import numpy as np
from ml_dtypes import bfloat16

from quadfollow_core.files import save_whole
from quadfollow_export.source import Source


def write_network(source: Source, path: Path) -> None:
    """Write a network for frames of any size with its kernels rounded to bfloat16, whose other 16 bits pack to nothing.

    Biases and what normalises stay as they are. Keras loads the file as any other, in 32-bit floats.
    """
    network = keras.models.load_model(source.path, compile=False)
    network.set_weights([_rounded(weight) for weight in network.get_weights()])
    with TemporaryDirectory() as folder:
        whole = Path(folder) / "network.keras"
        network.save(whole)
        save_whole(path, lambda part: _pack(whole, part))


def _rounded(weight: Any) -> Any:
    return weight.astype(bfloat16).astype(np.float32) if weight.ndim > 1 else weight


def _pack(whole: Path, packed: Path) -> None:
    with ZipFile(whole) as source, ZipFile(packed, "w") as target:
        for name in source.namelist():
            target.writestr(ZipInfo(name), source.read(name), ZIP_DEFLATED, 9)
