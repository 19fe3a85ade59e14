"""Tiny networks of the shapes that are exported, built and converted once per session."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from quadfollow_core.codec import encode_jpeg, encode_png
from quadfollow_core.resize import channels_from_classes
from quadfollow_core.scoring import SETS
from quadfollow_export.convert import Converted, convert
from quadfollow_export.scenes import render_scenes

SIZE = (48, 32)
"""Wider than high, so that a swap of the two cannot pass."""


def build_network(norm: str = "after-relu", size: tuple[int | None, int | None] = SIZE) -> Any:
    """A network with everything the shipped ones have: two depths, skips to an encoder and to the image."""
    layers = keras.layers
    keras.utils.set_random_seed(7)

    def block(tensor: Any, filters: int, kernel: int = 3, strides: int = 1) -> Any:
        kind = layers.Conv2D if kernel == 1 else layers.SeparableConv2D
        tensor = kind(filters, kernel, strides=strides, padding="same")(tensor)
        if norm == "before-relu":
            return layers.ReLU()(layers.BatchNormalization()(tensor))
        return layers.BatchNormalization()(layers.ReLU()(tensor))

    image = keras.Input((size[1], size[0], 3), dtype="uint8", name="image")
    full = layers.Rescaling(1 / 127.5, offset=-1.0)(image)
    half = block(full, 8, strides=2)
    deep = block(block(half, 16, strides=2), 16, kernel=1)
    up = layers.Concatenate()([layers.UpSampling2D(2, interpolation="bilinear")(deep), half])
    up = block(block(up, 8), 8)
    up = layers.Concatenate()([layers.UpSampling2D(2, interpolation="bilinear")(up), full])
    network = keras.Model(image, layers.Conv2D(3, 1, activation="softmax")(block(up, 8)))
    randomise(network)
    return network


def randomise(network: Any, seed: int = 3) -> None:
    """Give a network weights that answer every class, and statistics as training leaves them, some scales negative."""
    random = np.random.default_rng(seed)
    *_, classes = network.layers
    for weight in network.weights:
        if weight.path.endswith("moving_variance"):
            weight.assign(random.uniform(0.2, 2.0, weight.shape))
        elif weight.path.endswith(("gamma", "beta", "moving_mean", "bias")):
            weight.assign(random.normal(0.3, 0.7, weight.shape))
        elif weight.path.endswith("kernel"):
            weight.assign(1.5 * weight)
    kernel = random.normal(0, 1.5, classes.weights[0].shape)
    classes.set_weights([kernel, np.zeros(3)])
    if None not in network.inputs[0].shape[1:]:
        # Shift the logits to a mean of zero, so that none of the classes is far ahead everywhere.
        answer = np.asarray(network(render_scenes(4, SIZE, seed=1), training=False))
        classes.set_weights([kernel, -np.log(answer).mean(axis=(0, 1, 2))])


@pytest.fixture(scope="session")
def networks() -> dict[str, Any]:
    """A network per order of normalisation."""
    return {norm: build_network(norm) for norm in ("after-relu", "before-relu")}


@pytest.fixture(scope="session")
def conversions(networks: dict[str, Any]) -> dict[str, Converted]:
    """The networks, converted."""
    return {norm: convert(network, SIZE) for norm, network in networks.items()}


@pytest.fixture(scope="session")
def frames() -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Eight rendered frames."""
    return render_scenes(8, SIZE, seed=5)


@pytest.fixture
def run_folder(tmp_path: Path, networks: dict[str, Any]) -> Path:
    """A run's folder as training leaves it."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    networks["after-relu"].save(folder / "best.keras")
    config = {
        "recipe": {"name": "tiny", "folders": ["train"], "spec": {"input_size": list(SIZE)}},
        "data": {"frames": 12, "runs": ["1_run1"], "fingerprint": "ab" * 32},
        "held_out_runs": ["0_run6"],
        "command": ["/somewhere/bin/quadfollow", "train", "--data", "/somewhere/else/frames"],
        "git_commit": "c" * 40,
    }
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture
def evaluation(tmp_path: Path) -> Path:
    """Official evaluation sets in miniature."""
    return write_sets(tmp_path / "evaluation", SETS)


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """Other sets, to calibrate on."""
    return write_sets(tmp_path / "recordings", ("one", "two", "three"))


def write_sets(folder: Path, names: Sequence[str]) -> Path:
    """Sets of rendered frames with a square as the target."""
    for number, name in enumerate(names):
        for kind in ("images", "masks"):
            (folder / name / kind).mkdir(parents=True)
        for index, frame in enumerate(render_scenes(3, (64, 64), seed=number)):
            mask = np.zeros((64, 64), np.uint8)
            mask[10 : 20 + index, 30:40] = 2
            (folder / name / "images" / f"{index}.jpeg").write_bytes(encode_jpeg(frame))
            picture = channels_from_classes(mask).astype(np.uint8) * 255
            (folder / name / "masks" / f"{index}.png").write_bytes(encode_png(picture))
    return folder
