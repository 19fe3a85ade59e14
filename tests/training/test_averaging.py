"""The average of a run's network and the one it began with."""

from __future__ import annotations

import json
from dataclasses import replace

import keras
import numpy as np
import pytest

from quadfollow_core.errors import BadInput, NotFound
from quadfollow_training import recipes
from quadfollow_training.averaging import STATISTICS_BATCHES, STATISTICS_EPOCH, average
from quadfollow_training.batches import Batches
from quadfollow_training.fcn import build
from quadfollow_training.frames import open_frames
from quadfollow_training.train import sampler, train


@pytest.fixture
def run(tiny_recipe, data, tmp_path, monkeypatch):
    """A run of one epoch that began with a saved network; returns its folder and that network."""
    recipe = replace(tiny_recipe, name="tiny", epochs=1)
    monkeypatch.setitem(recipes.RECIPES, "tiny", recipe)
    begin = tmp_path / "begin.keras"
    build(recipe.spec).save(begin)
    train(recipe, [data], tmp_path / "run", hold_out=["3_run1"], init=begin)
    return tmp_path / "run", begin


def test_the_weights_lie_between_and_the_best_share_is_kept(run, data, tmp_path):
    """Kernels are the mean by the share with the best held-out score."""
    folder, begin = run
    told = average(folder, begin, [0.25, 0.75], [data], tmp_path / "out")
    assert told["share"] == max(told["held_out_final"], key=lambda share: told["held_out_final"][share])
    first, last, mixed = (
        keras.models.load_model(path, compile=False).get_layer("probabilities").get_weights()[0]
        for path in (begin, folder / "last.keras", tmp_path / "out" / "best.keras")
    )
    np.testing.assert_allclose(mixed, (1 - told["share"]) * first + told["share"] * last, atol=1e-6)
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["averaged"]["share"] == told["share"]
    assert config["recipe"]["name"] == "tiny"


def test_statistics_are_those_of_training_batches(run, data, tmp_path):
    """The first normalisation's mean and variance are what its convolution makes of them, not an average."""
    folder, begin = run
    average(folder, begin, [0.5], [data], tmp_path / "out")
    network = keras.models.load_model(tmp_path / "out" / "best.keras", compile=False)
    norm = next(layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization))
    recipe = recipes.RECIPES["tiny"]
    learn, _ = open_frames([data], recipe.folders).split(["3_run1"])
    source = sampler(recipe, learn, augment=True)
    how = {"batch": recipe.batch, "steps": STATISTICS_BATCHES, "seed": recipe.seed, "workers": 1}
    batches = Batches(source, epoch=STATISTICS_EPOCH, **how)
    given = keras.Model(network.inputs, norm.input)
    values = [given.predict_on_batch(batches[index][0]) for index in range(STATISTICS_BATCHES)]
    *_, mean, variance = norm.get_weights()
    np.testing.assert_allclose(mean, np.mean([one.mean(axis=(0, 1, 2)) for one in values], axis=0), atol=1e-5)
    np.testing.assert_allclose(variance, np.mean([one.var(axis=(0, 1, 2)) for one in values], axis=0), atol=1e-5)
    old = [
        keras.models.load_model(path, compile=False).get_layer(norm.name).get_weights()[2]
        for path in (begin, folder / "last.keras")
    ]
    assert np.abs(np.mean(old, axis=0) - mean).max() > 1e-3, "negative control"


def test_the_whole_share_is_the_runs_network(run, data, tmp_path):
    """With a share of 1 nothing of the beginning is left, statistics included."""
    folder, begin = run
    average(folder, begin, [1.0], [data], tmp_path / "out")
    last, mixed = (
        keras.models.load_model(path, compile=False).get_weights()
        for path in (folder / "last.keras", tmp_path / "out" / "best.keras")
    )
    for one, other in zip(last, mixed, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_what_cannot_be_averaged_is_refused(run, data, tmp_path):
    """A share out of range, a folder without a run, another network than the run's, and a folder that holds one."""
    folder, begin = run
    before = (folder / "best.keras").read_bytes()
    with pytest.raises(BadInput, match="holds a network already"):
        average(folder, begin, [0.5], [data], folder)
    assert (folder / "best.keras").read_bytes() == before
    with pytest.raises(BadInput, match=r"began with begin\.keras .*last\.keras is "):
        average(folder, folder / "last.keras", [0.5], [data], tmp_path / "out")
    with pytest.raises(BadInput, match="shares"):
        average(folder, begin, [1.5], [data], tmp_path / "out")
    with pytest.raises(NotFound, match="no run"):
        average(tmp_path, begin, [0.5], [data], tmp_path / "out")
