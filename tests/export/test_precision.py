"""Variants of lower precision: what they lose is measured, and what loses too much is not written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner

from quadfollow_core.contract import METADATA_KEY, Contract
from quadfollow_core.errors import BadInput, BadModel, ExportRefused
from quadfollow_core.official_frames import short_hash
from quadfollow_core.scoring import SETS, to_levels
from quadfollow_core.shipped import PRECISIONS, lower_precision
from quadfollow_export.cli import export
from quadfollow_export.convert import Converted
from quadfollow_export.graph import Graph
from quadfollow_export.lower import CALIBRATED, LOWER, half
from quadfollow_export.precision import Allowed, compare, make_variant
from quadfollow_export.scenes import render_scenes
from quadfollow_export.session import open_openvino, open_session
from quadfollow_server.engine import load_model

Frames = np.ndarray[Any, np.dtype[np.uint8]]
LOOSE = Allowed(class_share=0.5, target_share=1.0)
"""An untrained network stands near its thresholds everywhere."""


@pytest.fixture
def model(tmp_path: Path, conversions: dict[str, Converted]) -> Path:
    """An exported model's file."""
    exported = onnx.ModelProto()
    exported.CopyFrom(conversions["after-relu"].answers)
    onnx.helper.set_model_props(exported, {METADATA_KEY: Contract("tiny", 48, 32).to_json()})
    path = tmp_path / "tiny.onnx"
    onnx.save(exported, path)
    return path


def test_sixteen_bits_answer_nearly_alike(conversions: dict[str, Converted], frames: Frames) -> None:
    """In 16-bit floats few levels differ, inputs and answers keep their types, and every convolution is changed."""
    source = conversions["after-relu"].answers
    before = source.SerializeToString()
    lower = half(source, frames)
    assert source.SerializeToString() == before
    kinds = {item.data_type for item in lower.graph.initializer if len(item.dims) == 4}
    assert kinds == {onnx.TensorProto.FLOAT16}
    expected, found = (open_session(one.SerializeToString())(frames) for one in (source, lower))
    assert [answer.dtype for answer in found] == [np.uint8, np.uint8]
    assert np.mean(expected[0] != found[0]) < 0.01
    assert np.abs(expected[1].astype(int) - found[1]).max() <= 8


@pytest.mark.parametrize("precision", CALIBRATED)
def test_integers_answer_the_same_frames_much_alike(
    conversions: dict[str, Converted], frames: Frames, precision: str
) -> None:
    """In 8-bit integers the answers stay near the model's, nearer than another frame's answers are."""
    source = conversions["after-relu"].answers
    lower = LOWER[precision](source, render_scenes(8, (48, 32), seed=9))
    assert sum(node.op_type == "QuantizeLinear" for node in lower.graph.node) > 10
    expected = open_session(source.SerializeToString())(frames)[0]
    found = open_openvino(lower.SerializeToString())(frames)[0]
    assert np.mean(expected != found) < 0.5 * np.mean(expected != found[::-1])


def test_integers_are_enlarged_as_they_are_and_logits_are_not_rounded(conversions: dict[str, Converted]) -> None:
    """What is enlarged was rounded before and is read without being rounded again; behind the last step nothing is."""
    lower = LOWER["int8"](conversions["before-relu"].answers, render_scenes(4, (48, 32), seed=9))
    graph = Graph(lower)
    enlarged = [
        (graph.producer(node.input[0]), graph.only_consumer(node.output[0])) for node in graph.of_type("Resize")
    ]
    assert enlarged
    assert {(before.op_type, after.op_type) for before, after in enlarged if before and after} == {
        ("QuantizeLinear", "DequantizeLinear")
    }
    logits = list(graph.of_type("Conv"))[-1].output[0]
    assert {node.op_type for node in graph.nodes if logits in node.input} == {"Gather"}


def test_a_variant_tells_what_it_is_made_of_and_the_server_takes_it(
    model: Path, evaluation: Path, recordings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variant's contract names precision, origin, loss and score; the card lists it beside the model."""
    monkeypatch.setattr("quadfollow_export.precision.Allowed", lambda: Allowed(0.5, 1.0, 1.0))
    options = ["--fp16", "--int8", "--data", str(recordings), "--evaluate", str(evaluation), "--json"]
    told = CliRunner().invoke(export, [str(model), *options], catch_exceptions=False)
    made = json.loads(told.stdout)["variants"]
    version = load_model(model, "cpu").version
    assert [one["precision"] for one in made] == list(PRECISIONS)
    assert {one["of"] for one in made} == {version}
    sixteen, eight, _ = made
    assert abs(sixteen["official_score"]["variant"] - sixteen["official_score"]["model"]) < 0.02
    card = model.with_suffix(".md").read_text(encoding="utf-8")
    assert "## Variants" in card
    assert (
        f"| `tiny.int8.onnx` | 8-bit integers, for OpenVINO | {Path(eight['path']).stat().st_size / 1000:,.0f}" in card
    )


def test_the_probabilities_scored_are_those_of_the_answers(conversions: dict[str, Converted], frames: Frames) -> None:
    """Cut off behind its logits, the model answers probabilities that its own target_probability is the floor of."""
    from quadfollow_export.precision import probabilities_of

    source = conversions["after-relu"].answers
    (probabilities,) = open_session(probabilities_of(source, Contract("tiny", 48, 32)))(frames)
    levels = open_session(source.SerializeToString())(frames)[1]
    np.testing.assert_array_equal(to_levels(probabilities)[..., 2], levels)


def test_what_loses_too_much_is_not_written(model: Path, evaluation: Path) -> None:
    """Past an allowance nothing is written and the message says by how much; a loose one lets it pass."""
    tight = Allowed(class_share=-1.0)
    with pytest.raises(ExportRefused, match=r"fp16 variant answers otherwise.*allowed -1"):
        make_variant(model, "fp16", None, allowed=tight)
    with pytest.raises(ExportRefused, match="official score"):
        make_variant(model, "fp16", None, evaluation, allowed=Allowed(0.5, 1.0, score=-1.0))
    assert not list(model.parent.glob("*.fp16.onnx"))
    assert make_variant(model, "fp16", None, allowed=LOOSE).path.is_file()


@pytest.mark.parametrize("precision", CALIBRATED)
def test_integers_need_frames_to_calibrate_on(model: Path, precision: str) -> None:
    """Without frames there is no range to find."""
    with pytest.raises(BadInput, match="--data"):
        make_variant(model, precision, None)


@pytest.mark.parametrize("precision", CALIBRATED)
def test_official_evaluation_frames_calibrate_nothing(
    model: Path, evaluation: Path, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They score, so nothing is chosen by them, wherever among the folders they lie and from where it is called."""
    monkeypatch.chdir(evaluation / SETS[0])
    for data in (evaluation, evaluation / SETS[0], Path()):
        with pytest.raises(BadInput, match="official evaluation"):
            make_variant(model, precision, data)


def test_official_frames_by_another_name_calibrate_nothing(
    model: Path, recordings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are known by what is in them, as training knows them."""
    frame = (recordings / "two" / "images" / "1.jpeg").read_bytes()
    monkeypatch.setattr("quadfollow_export.precision.evaluation_images", lambda: {short_hash(frame)})
    with pytest.raises(BadInput, match="official evaluation"):
        make_variant(model, "int8", recordings)
    assert make_variant(model, "int8", recordings / "one", allowed=LOOSE).path.is_file()


def test_a_missing_folder_is_said_before_anything_is_made(model: Path) -> None:
    """Not after minutes of exporting."""
    told = CliRunner().invoke(export, [str(model), "--fp16", "--int8"])
    assert (told.exit_code, "--data" in told.stderr) == (2, True)
    assert not list(model.parent.glob("*.fp16.onnx"))


@pytest.mark.parametrize("refused", [("int8-fused",), ("int8", "int8-fused")])
def test_a_variant_that_loses_too_much_does_not_cost_the_other(
    model: Path, recordings: Path, monkeypatch: pytest.MonkeyPatch, refused: tuple[str, ...]
) -> None:
    """It is said, and the card tells of what is there; where none is good enough, the command fails."""
    allowed = {name: Allowed(-1.0 if name in refused else 0.5, 1.0) for name in CALIBRATED}

    def make(path: Path, precision: str, *rest: Any, **how: Any) -> Any:
        return make_variant(path, precision, *rest, **how, allowed=allowed[precision])

    monkeypatch.setattr("quadfollow_export.precision.make_variant", make)
    told = CliRunner().invoke(export, [str(model), "--int8", "--data", str(recordings)])
    assert told.stderr.count("not made: ") == len(refused)
    assert isinstance(told.exception, ExportRefused) == (len(refused) == 2)
    card = model.with_suffix(".md").read_text(encoding="utf-8")
    assert [f"tiny.{name}.onnx" in card for name in CALIBRATED] == [name not in refused for name in CALIBRATED]


def test_a_model_compared_with_itself_loses_nothing(model: Path, frames: Frames) -> None:
    """The comparison is zero for equal answers and not for others."""
    from quadfollow_export.frames import Samples

    predict = open_session(model.read_bytes())
    same = compare(predict, predict, Samples(frames, "some"))
    assert (same.class_share, same.target_share, same.levels) == (0.0, 0.0, 0)
    mirrored = compare(predict, lambda batch: predict(batch[:, :, ::-1].copy()), Samples(frames, "some"))
    assert mirrored.class_share > 0.01


def test_too_few_frames_calibrate_nothing(model: Path, recordings: Path) -> None:
    """Two are too few to compare on one and calibrate on another; three are enough."""
    few = recordings / "one"
    last = sorted(few.glob("*/2.*"))
    kept = [path.read_bytes() for path in last]
    for path in last:
        path.unlink()
    with pytest.raises(BadInput, match=r"one holds 2 frame\(s\)"):
        make_variant(model, "int8", few)
    for path, data in zip(last, kept, strict=True):
        path.write_bytes(data)
    assert make_variant(model, "int8", few, allowed=LOOSE).path.is_file()


def test_a_damaged_variant_beside_it_hides_no_refusal(
    model: Path, evaluation: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The card cannot tell of it, and what is said is why the one asked for was not made."""
    monkeypatch.setattr("quadfollow_export.precision.Allowed", lambda: LOOSE)
    lower_precision(model, "int8").write_bytes(b"damaged")
    words = [str(model), "--int8", "--data", str(evaluation)]
    with pytest.raises(BadInput, match="official evaluation"):
        CliRunner().invoke(export, words, catch_exceptions=False)
    with pytest.raises(BadModel, match=r"tiny\.int8\.onnx"):
        CliRunner().invoke(export, [str(model), "--fp16"], catch_exceptions=False)
