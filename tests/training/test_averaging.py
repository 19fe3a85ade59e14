"""The average of a run's network and others of its line."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import keras
import numpy as np
import pytest

from quadfollow_core.errors import BadInput, NotFound
from quadfollow_training import averaging, recipes
from quadfollow_training.averaging import average
from quadfollow_training.fcn import build
from quadfollow_training.train import train


@pytest.fixture
def recipe(tiny_recipe, monkeypatch):
    """The run's recipe, to be found by its name."""
    recipe = replace(tiny_recipe, name="tiny", epochs=1)
    monkeypatch.setitem(recipes.RECIPES, "tiny", recipe)
    return recipe


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Where the run is made, once for all tests."""
    return tmp_path_factory.mktemp("made")


@pytest.fixture
def run(recipe, data, made, tmp_path):
    """A run of one epoch that began with a saved network; returns its folder and that network."""
    if not (made / "run").exists():
        build(recipe.spec).save(made / "begin.keras")
        train(recipe, [data], made / "run", init=made / "begin.keras")
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path / "run", tmp_path / "begin.keras"


def weights_of(*paths):
    """Every weight of each network, batch statistics included."""
    return [keras.models.load_model(path, compile=False).get_weights() for path in paths]


def test_all_lies_between_and_the_best_share_is_kept(run, data, tmp_path):
    """Weights and batch statistics are the mean by the share with the best held-out score."""
    folder, begin = run
    told = average(folder, [begin], [0.25, 0.75], [data], tmp_path / "out")
    share = told["share"]
    assert share == max(told["held_out_final"], key=lambda share: told["held_out_final"][share])
    first, last, mixed = weights_of(begin, folder / "last.keras", tmp_path / "out" / "best.keras")
    assert any(np.abs(one - other).max() > 1e-3 for one, other in zip(first, last, strict=True)), "negative control"
    for one, other, between in zip(first, last, mixed, strict=True):
        np.testing.assert_allclose(between, (1 - share) * one + share * other, atol=1e-6)
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["averaged"]["share"] == share
    assert config["recipe"]["name"] == "tiny"


def test_several_others_take_parts_of_the_rest_alike(run, data, tmp_path):
    """With a share of a half, two others are a quarter each, and the folder tells of both."""
    folder, begin = run
    other = tmp_path / "other.keras"
    build(recipes.RECIPES["tiny"].spec).save(other)
    told = average(folder, [begin, other], [0.5], [data], tmp_path / "out")
    paths = (folder / "last.keras", begin, other, tmp_path / "out" / "best.keras")
    for last, one, two, mixed in zip(*weights_of(*paths), strict=True):
        np.testing.assert_allclose(mixed, last / 2 + one / 4 + two / 4, atol=1e-6)
    assert told["with"].startswith("begin.keras ")
    assert " and other.keras " in told["with"]


def test_the_whole_share_is_the_runs_network(run, data, tmp_path):
    """With a share of 1 nothing of the beginning is left, statistics included."""
    folder, begin = run
    average(folder, [begin], [1.0], [data], tmp_path / "out")
    for one, other in zip(*weights_of(folder / "last.keras", tmp_path / "out" / "best.keras"), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_a_killed_average_can_be_made_again(run, data, tmp_path, monkeypatch):
    """Killed between its two files too, and the network is there only once all is."""
    folder, begin = run
    out = tmp_path / "out"
    written = []

    def once(write):
        def call(path, content):
            if written:
                raise KeyboardInterrupt
            written.append(path)
            write(path, content)

        return call

    with monkeypatch.context() as patched:
        for name in ("save_whole", "write_whole"):
            patched.setattr(averaging, name, once(getattr(averaging, name)))
        with pytest.raises(KeyboardInterrupt):
            average(folder, [begin], [0.5], [data], out)
    assert not (out / "best.keras").exists()
    average(folder, [begin], [0.5], [data], out)
    assert {path.name for path in out.iterdir()} == {"config.json", "best.keras"}
    assert "best" not in json.loads((out / "config.json").read_text()), "the run's own best epoch is another network"


def test_a_share_is_chosen_on_the_runs_own_data(run, data, tmp_path):
    """On fewer held-out frames another might win: other data is refused, and so is a run that held out nothing."""
    folder, begin = run
    gone = (data / "train" / "images" / "2_run1cam1_00005.jpeg", data / "train" / "masks" / "2_run1_mask_00005.png")
    whole = [path.read_bytes() for path in gone]
    for path in gone:
        path.unlink()
    with pytest.raises(BadInput, match="trained on other data: give its 27 frames, here 26"):
        average(folder, [begin], [0.5], [data], tmp_path / "out")
    for path, content in zip(gone, whole, strict=True):
        path.write_bytes(content)
    config = folder / "config.json"
    told = json.loads(config.read_text())
    config.write_text(json.dumps(told | {"held_out_runs": []}))
    with pytest.raises(BadInput, match="held out nothing"):
        average(folder, [begin], [0.5], [data], tmp_path / "out")


def test_what_cannot_be_averaged_is_refused(run, data, tmp_path):
    """A share out of range, nothing beside the run, a folder without one, and one that holds a network already."""
    folder, begin = run
    before = (folder / "best.keras").read_bytes()
    with pytest.raises(BadInput, match="holds a network already"):
        average(folder, [begin], [0.5], [data], folder)
    assert (folder / "best.keras").read_bytes() == before
    with pytest.raises(BadInput, match="name one at least"):
        average(folder, [], [0.5], [data], tmp_path / "out")
    with pytest.raises(BadInput, match="shares"):
        average(folder, [begin], [1.5], [data], tmp_path / "out")
    with pytest.raises(NotFound, match="no run"):
        average(tmp_path, [begin], [0.5], [data], tmp_path / "out")
