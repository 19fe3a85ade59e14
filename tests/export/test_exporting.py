"""An export from end to end: what is written, what it says, and when nothing is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnxruntime
import pytest
from tests.export.conftest import SIZE, build_network

from quadfollow_core.contract import Contract
from quadfollow_core.errors import BadDataset, BadInput, BadModel, ExportRefused, NotFound
from quadfollow_export.exporting import Options, export_network
from quadfollow_export.parity import Tolerances
from quadfollow_export.source import find_source, load_network

FEW = 4


def contract_in(model: Path) -> Contract:
    """Read a model's contract as the server does."""
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    return Contract.from_metadata(session.get_modelmeta().custom_metadata_map)


def test_a_run_becomes_a_model_its_float_variant_and_a_card(run_folder: Path, tmp_path: Path) -> None:
    """The contract inside both files is the one reported, and holds what the run's folder tells."""
    out = tmp_path / "models" / "follow.onnx"
    exported = export_network(run_folder, out, Options(frames=FEW))
    assert exported.float_model == run_folder / "export" / "follow.float.onnx"
    contract = contract_in(out)
    assert contract == exported.contract == contract_in(exported.float_model)
    assert (contract.name, contract.size) == ("follow", SIZE)
    assert contract.training["recipe"]["name"] == "tiny"
    assert contract.training["held_out_runs"] == ["0_run6"]
    assert contract.training["command"] == "quadfollow train --data frames", "folders of this machine leak"
    assert contract.checks["parity"]["probability"] < 1e-4
    assert contract.checks["parameters"] == build_network().count_params()
    assert contract.checks["macs"] > 0
    assert len(contract.commit) == 40
    card = out.with_suffix(".md").read_text()
    for expected in ("# follow\n", "tiny", "0_run6", "Not scored", "rendered frames", "MIT", str(contract.width)):
        assert expected in card
    assert sorted(path.name for path in out.parent.iterdir()) == ["follow.md", "follow.onnx"]


def test_recorded_frames_and_the_official_score_go_into_the_contract(
    run_folder: Path, evaluation: Path, tmp_path: Path
) -> None:
    """Scored on the three sets, Keras and ONNX alike; parity looks at frames of the same folder."""
    out = tmp_path / "x.onnx"
    contract = export_network(run_folder, out, Options(frames=FEW, evaluate=evaluation)).contract
    assert contract.checks["parity"]["frames"] == "4 frames of evaluation"
    assert contract.score["final"] == pytest.approx(contract.checks["official_score"]["keras"], abs=1e-3)
    assert [part["n"] for part in contract.score["sets"].values()] == [3, 3, 3]
    card = out.with_suffix(".md").read_text()
    assert f"Final score **{contract.score['final']:.4f}**" in card
    assert "| following_images | 3 |" in card
    assert "train_extra" not in card


def test_a_score_can_be_brought(run_folder: Path, tmp_path: Path) -> None:
    """A file with a final score is taken as it is."""
    score = tmp_path / "score.json"
    score.write_text(json.dumps({"final": 0.5321, "sets": {}}))
    exported = export_network(run_folder, tmp_path / "x.onnx", Options(frames=FEW, score=score))
    assert exported.contract.score["final"] == 0.5321
    assert "**0.5321**" in exported.card.read_text()


@pytest.mark.parametrize("text", ["[]", "{}", '{"final": "high"}', "not json"])
def test_a_file_that_is_no_score_is_refused(run_folder: Path, tmp_path: Path, text: str) -> None:
    """Anything without a final number is named as such."""
    (tmp_path / "score.json").write_text(text)
    with pytest.raises(BadInput, match=r"score\.json is not a score"):
        export_network(run_folder, tmp_path / "x.onnx", Options(score=tmp_path / "score.json"))


def test_a_refused_export_writes_nothing_and_keeps_what_was_there(run_folder: Path, tmp_path: Path) -> None:
    """Out of tolerance, the target path is as it was."""
    out = tmp_path / "models" / "x.onnx"
    strict = Options(frames=FEW, tolerances=Tolerances(probability=0.0))
    with pytest.raises(ExportRefused, match="largest probability difference"):
        export_network(run_folder, out, strict)
    assert not out.parent.exists()
    assert not (run_folder / "export").exists()
    out.parent.mkdir()
    out.write_bytes(b"the model before")
    with pytest.raises(ExportRefused):
        export_network(run_folder, out, strict)
    assert out.read_bytes() == b"the model before"


def test_another_size_is_the_same_network(run_folder: Path, tmp_path: Path) -> None:
    """A size that is asked for is exported with the same weights."""
    out = tmp_path / "x.onnx"
    assert export_network(run_folder, out, Options(frames=FEW, size=(64, 64))).contract.size == (64, 64)
    classes, _ = onnxruntime.InferenceSession(str(out), providers=["CPUExecutionProvider"]).run(
        None, {"image": np.zeros((2, 64, 64, 3), np.uint8)}
    )
    assert classes.shape == (2, 64, 64)


def test_a_keras_file_of_open_size_needs_one(tmp_path: Path) -> None:
    """Without a run's folder and without a size of its own, the size must be given."""
    network = build_network(size=(None, None))
    network.save(tmp_path / "open.keras")
    source = find_source(tmp_path / "open.keras")
    assert (source.name, source.training) == ("open", {})
    with pytest.raises(BadModel, match="--size"):
        load_network(source)
    sized, size = load_network(source, (64, 32))
    assert (size, sized.inputs[0].shape) == ((64, 32), (None, 32, 64, 3))
    for expected, actual in zip(network.get_weights(), sized.get_weights(), strict=True):
        assert np.array_equal(expected, actual)


def test_what_is_no_network_is_named(tmp_path: Path) -> None:
    """A missing file, a folder without one and a file of noise each say what is wrong."""
    with pytest.raises(NotFound, match=r"best\.keras"):
        find_source(tmp_path)
    (tmp_path / "noise.keras").write_bytes(b"noise")
    with pytest.raises(BadModel, match="not a Keras network"):
        load_network(find_source(tmp_path / "noise.keras"))
    (tmp_path / "config.json").write_text("[1")
    with pytest.raises(BadModel, match="cannot be read"):
        find_source(tmp_path / "noise.keras")


@pytest.mark.parametrize(
    ("dtype", "filters", "message"),
    [("float32", 3, "expected uint8"), ("uint8", 4, "expected .*3")],
)
def test_a_network_of_another_form_is_refused(tmp_path: Path, dtype: str, filters: int, message: str) -> None:
    """Input and output are checked before anything is converted."""
    image = keras.Input((32, 32, 3), dtype=dtype)
    answer = keras.layers.Conv2D(filters, 1, activation="softmax")(keras.layers.Rescaling(1 / 255)(image))
    keras.Model(image, answer).save(tmp_path / "odd.keras")
    with pytest.raises(BadModel, match=message):
        load_network(find_source(tmp_path / "odd.keras"))


def test_options_that_contradict_are_refused() -> None:
    """Too few frames to compare batches, or two scores."""
    with pytest.raises(BadInput, match="at least 3 frames"):
        Options(frames=2)
    with pytest.raises(BadInput, match="only one of them"):
        Options(evaluate=Path("a"), score=Path("b"))


def test_the_file_must_be_an_onnx_file(run_folder: Path, tmp_path: Path) -> None:
    """A card would overwrite a model written as .md."""
    with pytest.raises(BadInput, match=r"\.onnx"):
        export_network(run_folder, tmp_path / "x.md")
    with pytest.raises(BadInput, match="would overwrite the model"):
        export_network(run_folder, tmp_path / "x.onnx", Options(float_path=tmp_path / "x.onnx"))


def test_unreadable_frames_are_named(run_folder: Path, evaluation: Path, tmp_path: Path) -> None:
    """A damaged frame or mask is a fault of the data, and is named."""
    for damaged in ("images/1.jpeg", "masks/1.png"):
        path = evaluation / "patrol_non_targ" / damaged
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(BadDataset, match=damaged.replace(".", r"\.")):
            export_network(run_folder, tmp_path / "x.onnx", Options(frames=FEW, evaluate=evaluation))
        path.write_bytes(whole)
    with pytest.raises(NotFound, match="no frames in"):
        export_network(run_folder, tmp_path / "x.onnx", Options(data=tmp_path / "nowhere"))


def test_the_contract_survives_as_json(run_folder: Path, tmp_path: Path) -> None:
    """What the command prints is plain JSON."""
    told: dict[str, Any] = export_network(run_folder, tmp_path / "x.onnx", Options(frames=FEW)).as_dict()
    assert json.loads(json.dumps(told))["contract"]["checks"]["opset"] >= 17
