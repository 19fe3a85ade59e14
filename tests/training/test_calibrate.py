"""Calibration moves the target's logit by what the held-out runs ask for, and by nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pytest

from quadfollow_core.errors import BadInput, NotFound
from quadfollow_core.resize import TARGET
from quadfollow_core.runs import run_network
from quadfollow_training.calibrate import OFFSETS, add_to_target_logit, calibrate, shift
from quadfollow_training.fcn import Spec, build
from quadfollow_training.frames import Frames, open_frames
from quadfollow_training.rundir import RunFolder

SPEC = Spec(input_size=(32, 32), encoders=(4, 4), bottleneck=4, decoders=(4, 4))


@pytest.fixture
def network() -> keras.Model:
    """A small untrained network whose answers differ from pixel to pixel."""
    keras.utils.set_random_seed(3)
    return build(SPEC)


def test_shifting_probabilities_equals_shifting_the_bias(network: keras.Model) -> None:
    """The closed form on probabilities is what the network answers once its bias has moved."""
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    before = np.asarray(network.predict_on_batch(images))
    add_to_target_logit(network, -1.5)
    after = np.asarray(network.predict_on_batch(images))
    assert np.abs(shift(before, -1.5) - after).max() < 1e-5
    assert after[..., TARGET].mean() < before[..., TARGET].mean()


def run_with(network: keras.Model, folder: Path) -> RunFolder:
    """A run's folder that holds this network as its best."""
    folder.mkdir()
    network.save(folder / "best.keras")
    return RunFolder(folder)


def test_the_best_offset_is_chosen_and_written(network: keras.Model, data: Path, tmp_path: Path) -> None:
    """Of all offsets tried the one with the highest held-out score goes into the network that the run stands for."""
    add_to_target_logit(network, 2.0)
    run = run_with(network, tmp_path / "run")
    assert run_network(run.path) == run.best
    report = calibrate(run, open_frames([data], None))
    tried = {row["offset"]: row["held_out_final"] for row in report["tried"]}
    assert set(tried) == set(OFFSETS)
    assert tried[report["offset"]] == max(tried.values())
    assert json.loads((run.path / "calibration.json").read_text()) == report
    assert run_network(run.path) == run.calibrated
    bias = keras.models.load_model(run.calibrated, compile=False).get_layer("probabilities").get_weights()[1]
    original = network.get_layer("probabilities").get_weights()[1]
    assert bias - original == pytest.approx([0, 0, report["offset"]], abs=1e-6)


def test_without_held_out_runs_there_is_nothing_to_choose_on(network: keras.Model, tmp_path: Path) -> None:
    """Calibration on frames the network has learnt is refused."""
    with pytest.raises(BadInput, match="held-out"):
        calibrate(run_with(network, tmp_path / "run"), Frames((), ()))


def test_a_folder_without_network_is_named(tmp_path: Path) -> None:
    """A run's folder that holds no network yet is an error that says what is missing."""
    with pytest.raises(NotFound, match=r"calibrated\.keras"):
        run_network(tmp_path)
