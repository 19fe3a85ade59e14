"""The shipped models on real frames: what their cards say is what they do."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from quadfollow_core.http_client import HttpClient
from quadfollow_core.resize import TARGET
from quadfollow_core.scoring import MIN_TARGET_PIXELS, read_channels
from quadfollow_core.shipped import DEFAULT_MODEL, PRECISIONS, lower_precision, models_folder, shipped_models
from quadfollow_server.model_file import read_contract
from quadfollow_server.running import RunningServer
from quadfollow_training.evaluate import evaluate

SHIPPED = shipped_models()


def centroid(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Mean pixel position ``(u, v)`` of a mask, centres at half integers."""
    rows, columns = np.nonzero(mask)
    return np.array([columns.mean() + 0.5, rows.mean() + 0.5])


def official_sets(quadsim: Path) -> Path:
    """The folder of the three official evaluation sets."""
    return quadsim / "sample_evaluation_data"


@pytest.mark.data
def test_following_frames_posted_one_by_one_find_the_target(quadsim: Path) -> None:
    """Of every third frame that shows the target, in 99 % it is found, and in 95 % its centroid is within 5 pixels."""
    folder = official_sets(quadsim) / "following_images"
    pairs = list(zip(sorted((folder / "images").iterdir()), sorted((folder / "masks").iterdir()), strict=True))[::3]
    with RunningServer() as server, HttpClient(server.url, timeout=30) as client:
        errors, astray = [], []
        for image, mask in pairs:
            truth = read_channels(mask)[:, :, TARGET]
            target = client.segment(image.read_bytes()).sighting.target
            if truth.sum() > MIN_TARGET_PIXELS:
                found = np.array([np.inf, np.inf] if target is None else target.centroid)
                errors.append(np.linalg.norm(found - centroid(truth)))
                astray.append(np.linalg.norm(found - centroid(truth[::-1, ::-1])))
    assert len(errors) == 179
    assert np.mean(np.isfinite(errors)) >= 0.99
    assert np.mean(np.array(errors) <= 5) >= 0.95
    assert np.mean(np.array(astray) <= 5) < 0.5, "negative control: masks turned upside down fit as well"


def test_the_default_model_is_shipped_with_its_card() -> None:
    """Every shipped model has a card beside it and names itself in its contract, the default among them."""
    assert DEFAULT_MODEL in [path.stem for path in SHIPPED]
    for path in SHIPPED:
        assert path.with_suffix(".md").is_file()
        assert read_contract(path).name == path.stem


def test_every_variant_was_made_of_the_model_beside_it() -> None:
    """Its file names the version that is shipped, and a card tells of it; no file belongs to nothing."""
    variants = {lower_precision(path, precision): path for path in SHIPPED for precision in PRECISIONS}
    there = {variant: model for variant, model in variants.items() if variant.is_file()}
    for variant, model in there.items():
        assert read_contract(variant).variant_of == hashlib.sha256(model.read_bytes()).hexdigest()[:12]
        assert variant.name in model.with_suffix(".md").read_text()
    assert {*SHIPPED, *there} == set(models_folder().glob("*.onnx"))


def test_a_black_frame_has_no_target() -> None:
    """The default model sees nobody where nothing is."""
    with RunningServer() as server, HttpClient(server.url, timeout=30) as client:
        assert client.segment(np.zeros((256, 256, 3), np.uint8)).sighting.target is None


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_official_score_is_the_one_in_the_contract(quadsim: Path, path: Path) -> None:
    """Scoring the shipped file gives the score it carries, and the default's is at least 0.68."""
    found = evaluate(path, official_sets(quadsim))
    contract = read_contract(path)
    assert found["final"] == pytest.approx(contract.score["final"], abs=1e-3)
    assert contract.checks["official_score"]["keras"] == pytest.approx(found["final"], abs=1e-3)
    assert contract.name != DEFAULT_MODEL or found["final"] >= 0.68
