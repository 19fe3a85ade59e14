"""Small made-up data sets: a red target and green people on a grey street, drawn as blobs."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from quadfollow_core.codec import encode_jpeg, encode_png
from quadfollow_training.fcn import Spec
from quadfollow_training.recipes import SEED, Recipe

TINY = Spec(input_size=(32, 32), encoders=(4, 8), bottleneck=8, decoders=(8, 4))
SIDE = 64


def draw(rng: np.random.Generator, *, target: int, person: int, side: int = SIDE) -> tuple[NDArray, NDArray]:
    """Draw an image and its three-channel mask with square people of so many pixels a side (0 for nobody)."""
    image = rng.integers(90, 130, (side, side, 3)).astype(np.uint8)
    mask = np.zeros((side, side, 3), dtype=np.uint8)
    mask[..., 0] = 255
    for size, colour, channel in ((person, (40, 160, 40), 1), (target, (200, 30, 30), 2)):
        top, left = rng.integers(0, side - size, 2)
        image[top : top + size, left : left + size] = colour
        mask[top : top + size, left : left + size] = np.eye(3, dtype=np.uint8)[channel] * 255
    return image, mask


def _write_run(folder: Path, run: str, frames: int, *, seed: int, target: int) -> None:
    rng = np.random.default_rng(seed)
    for number in range(frames):
        size = target if number % 3 else 0
        image, mask = draw(rng, target=size, person=6 if number % 2 else 0)
        (folder / "images").mkdir(parents=True, exist_ok=True)
        (folder / "masks").mkdir(parents=True, exist_ok=True)
        (folder / "images" / f"{run}cam1_{number:05}.jpeg").write_bytes(encode_jpeg(image, 90))
        (folder / "masks" / f"{run}_mask_{number:05}.png").write_bytes(encode_png(mask))


@pytest.fixture
def write_run() -> Callable[..., None]:
    """A function that writes one run in the processed layout."""
    return _write_run


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with ``train`` (runs 1_run1 and 2_run1) and ``validation`` (more of 2_run1, and 3_run1)."""
    root = tmp_path / "data"
    _write_run(root / "train", "1_run1", 12, seed=1, target=16)
    _write_run(root / "train", "2_run1", 6, seed=2, target=8)
    _write_run(root / "validation", "3_run1", 9, seed=3, target=8)
    return root


@pytest.fixture
def evaluation(tmp_path: Path) -> Path:
    """The three official sets in miniature; images equal their masks, so that a copying model is perfect."""
    root = tmp_path / "sample_evaluation_data"
    rng = np.random.default_rng(5)
    for name, target in (("following_images", 12), ("patrol_non_targ", 0), ("patrol_with_targ", 5)):
        for kind in ("images", "masks"):
            (root / name / kind).mkdir(parents=True)
        for number in range(4):
            _, mask = draw(rng, target=target, person=6)
            (root / name / "images" / f"2_run2cam1_{number:05}.png").write_bytes(encode_png(mask))
            (root / name / "masks" / f"2__mask_{number:05}.png").write_bytes(encode_png(mask))
    return root


@pytest.fixture
def tiny_recipe() -> Recipe:
    """The seed's recipe with a network and steps that take a moment."""
    return replace(
        SEED,
        name="tiny",
        spec=TINY,
        hold_out=("3_run1",),
        batch=4,
        epochs=4,
        steps=3,
        validation_steps=1,
        workers=2,
        score_every=2,
    )


@pytest.fixture(scope="session")
def quadsim() -> Path:
    """The real recordings; tests that ask for them are skipped where they are not."""
    beside = Path(__file__).parents[3] / "shared" / "quadsim"
    folder = Path(os.environ.get("QUADFOLLOW_DATA") or beside)
    if not (folder / "train" / "images").is_dir():
        pytest.skip("no QuadSim recordings: set QUADFOLLOW_DATA")
    return folder
