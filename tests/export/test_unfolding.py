"""What was exported can be trained on: the same answers as the model's, and statistics as if it had been trained so."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from tests.export.conftest import SIZE, randomise

from quadfollow_core.contract import METADATA_KEY, Contract
from quadfollow_core.errors import BadModel
from quadfollow_core.shipped import lower_precision
from quadfollow_export.convert import convert
from quadfollow_export.lower import LOWER
from quadfollow_export.precision import Allowed, make_variant
from quadfollow_export.scenes import render_scenes
from quadfollow_training.compiling import load
from quadfollow_training.fcn import Spec, build
from quadfollow_training.recipes import SEED
from quadfollow_training.train import train
from quadfollow_training.unfolding import settle, unfold

SPEC = Spec(
    input_size=SIZE,
    stem=6,
    encoders=(8, 12),
    bottleneck=10,
    decoders=(8, 6),
    norm="before-relu",
    repeats=2,
    regular=("encoder1", "decoder2b"),
)


def export(spec: Spec, path: Path) -> Any:
    """Write a model of a network with random weights; return the network."""
    network = build(spec)
    randomise(network)
    _write(convert(network, SIZE).answers, spec, path)
    return network


def _write(model: Any, spec: Spec, path: Path) -> None:
    contract = Contract("tiny", *SIZE, training={"recipe": replace(SEED, spec=spec).as_dict()})
    onnx.helper.set_model_props(model, {METADATA_KEY: contract.to_json()})
    onnx.save(model, path)


@pytest.mark.parametrize("changes", [{}, {"norm": "none"}, {"skips": False}, {"separable": False, "regular": ()}])
def test_the_network_answers_as_its_model_does(tmp_path: Path, changes: dict[str, Any]) -> None:
    """With and without normalisation and skips, separable and regular, for pictures of another size too."""
    spec = replace(SPEC, **changes)
    network = export(spec, tmp_path / "tiny.onnx")
    unfolded = unfold(tmp_path / "tiny.onnx")
    frames = render_scenes(4, SIZE)
    expected, found = (np.asarray(one(frames, training=False)) for one in (network, unfolded))
    np.testing.assert_allclose(found, expected, atol=2e-4)
    assert np.abs(np.asarray(build(spec)(frames, training=False)) - expected).max() > 0.1, "negative control"
    assert unfolded(render_scenes(1, (96, 64))).shape == (1, 64, 96, 3)


def test_settled_it_answers_in_training_as_it_did_before(tmp_path: Path) -> None:
    """Over the pictures that it was settled on, batch statistics are the stored ones; the answers stay."""
    export(SPEC, tmp_path / "tiny.onnx")
    network = unfold(tmp_path / "tiny.onnx")
    pictures = render_scenes(8, SIZE)
    before = np.asarray(network(pictures, training=False))
    settle(network, [pictures[:4], pictures[4:]])
    np.testing.assert_allclose(network(pictures, training=False), before, atol=2e-4)

    def apart(one: Any) -> float:
        serving, training = (np.asarray(one(pictures, training=mode)) for mode in (False, True))
        return float(np.abs(training - serving).mean())

    assert apart(network) < 1e-3 < 0.1 * apart(unfold(tmp_path / "tiny.onnx"))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"norm": "after-relu"}, "give its run's .keras file"), ({"upsampling": "transposed"}, "_up is of a kind")],
)
def test_what_was_not_folded_cannot_be_unfolded(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    """The error tells why, and what to take instead."""
    export(replace(SPEC, **changes), tmp_path / "tiny.onnx")
    with pytest.raises(BadModel, match=reason):
        unfold(tmp_path / "tiny.onnx")


def test_another_file_is_refused(tmp_path: Path) -> None:
    """No model, one that says nothing of its recipe, one of another recipe, and those of lower precision."""
    path = tmp_path / "tiny.onnx"
    path.write_bytes(b"x")
    with pytest.raises(BadModel, match=r"tiny\.onnx is not an exported model"):
        unfold(path)
    export(SPEC, path)
    model = onnx.load(path)
    _write(model, replace(SPEC, bottleneck=11), path)
    with pytest.raises(BadModel, match="is not as the export of its network would be"):
        unfold(path)
    onnx.helper.set_model_props(model, {METADATA_KEY: Contract("tiny", *SIZE).to_json()})
    onnx.save(model, path)
    with pytest.raises(BadModel, match="does not tell by which recipe"):
        unfold(path)
    for training in ({"recipe": "seed"}, {"recipe": {"spec": "x"}}):
        onnx.helper.set_model_props(model, {METADATA_KEY: Contract("tiny", *SIZE, training=training).to_json()})
        onnx.save(model, path)
        with pytest.raises(BadModel, match="does not tell by which recipe"):
            unfold(path)
    _write(model, SPEC, path)
    unfold(path)
    make_variant(path, "fp16", None, allowed=Allowed(0.5, 1.0))
    with pytest.raises(BadModel, match="is a variant of lower precision"):
        unfold(lower_precision(path, "fp16"))
    _write(LOWER["int8"](model, render_scenes(2, SIZE)), SPEC, path)
    with pytest.raises(BadModel, match="is not as the export of its network would be"):
        unfold(path)


def test_a_run_begins_with_a_model_and_tells_of_its_training(tmp_path: Path, evaluation: Path) -> None:
    """At a rate of nearly nothing its network still answers as the model does; what the model tells is kept."""
    export(SPEC, tmp_path / "tiny.onnx")
    recipe = replace(
        SEED, name="more", spec=SPEC, folders=None, crop=32, learning_rate=1e-9, batch=4, epochs=1, steps=2, workers=1
    )
    data = shutil.copytree(evaluation / "following_images", tmp_path / "street")
    train(recipe, [data], tmp_path / "run", init=tmp_path / "tiny.onnx")
    begun, expected = (
        np.asarray(one(render_scenes(4, SIZE), training=False))
        for one in (load(tmp_path / "run" / "last.keras"), unfold(tmp_path / "tiny.onnx"))
    )
    assert np.mean(np.argmax(begun, axis=-1) != np.argmax(expected, axis=-1)) < 0.05
    told = json.loads((tmp_path / "run" / "config.json").read_text())["begun_with"]
    assert told["init"].startswith("tiny.onnx ")
    assert told["run"]["recipe"]["name"] == "seed"
