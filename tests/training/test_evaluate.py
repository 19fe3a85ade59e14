"""Evaluation of Keras and ONNX models, on models whose answers are known."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import keras
import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper
from PIL import Image

from quadfollow_core.codec import encode_png
from quadfollow_core.errors import BadDataset, BadInput, BadModel
from quadfollow_core.scoring import to_levels
from quadfollow_training.cli import evaluate as command
from quadfollow_training.evaluate import evaluate
from quadfollow_training.fcn import Spec, build
from quadfollow_training.frames import open_frames
from quadfollow_training.holdout import held_out_score, stand_in
from quadfollow_training.predictors import open_predictor


@pytest.fixture
def copying_keras(tmp_path):
    """A Keras model whose class probabilities are its input's colours."""
    image = keras.Input((64, 64, 3), dtype="uint8")
    model = keras.Model(image, keras.layers.Rescaling(1 / 255)(image))
    model.save(tmp_path / "copy.keras")
    return tmp_path / "copy.keras"


def _save_onnx(path, nodes, outputs, side=64):
    shape = ["N", side, side]
    values = [helper.make_tensor_value_info(name, kind, [*shape, *rest]) for name, kind, rest in outputs]
    source = helper.make_tensor_value_info("image", TensorProto.UINT8, [*shape, 3])
    constants = [
        helper.make_tensor("scale", TensorProto.FLOAT, [], [255.0]),
        helper.make_tensor("two", TensorProto.INT64, [], [2]),
    ]
    graph = helper.make_graph(nodes, "copy", [source], values, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)
    return path


FLOAT = [
    helper.make_node("Cast", ["image"], ["colours"], to=TensorProto.FLOAT),
    helper.make_node("Div", ["colours", "scale"], ["probabilities"]),
]
SERVED = [
    helper.make_node("Cast", ["image"], ["colours"], to=TensorProto.FLOAT),
    helper.make_node("ArgMax", ["colours"], ["index"], axis=3, keepdims=0),
    helper.make_node("Cast", ["index"], ["classes"], to=TensorProto.UINT8),
    helper.make_node("Gather", ["image", "two"], ["target_probability"], axis=3),
]


@pytest.fixture
def copying_float(tmp_path):
    """An ONNX model with float probabilities that copies its input."""
    return _save_onnx(tmp_path / "float.onnx", FLOAT, [("probabilities", TensorProto.FLOAT, [3])])


@pytest.fixture
def copying_served(tmp_path):
    """An ONNX model with the serving outputs that copies its input."""
    outputs = [("classes", TensorProto.UINT8, []), ("target_probability", TensorProto.UINT8, [])]
    return _save_onnx(tmp_path / "served.onnx", SERVED, outputs)


@pytest.mark.parametrize("model", ["copying_keras", "copying_float", "copying_served"])
def test_a_copying_model_is_perfect_on_images_that_are_their_masks(model, evaluation, request):
    """Keras, float ONNX and served ONNX models go through the official scorer alike."""
    result = evaluate(request.getfixturevalue(model), evaluation)
    assert result["final"] == 1
    assert (result["tp"], result["fp"], result["fn"]) == (8, 0, 0)
    assert result["sets"]["following_images"]["by_size"] == {"80-159": {"frames": 4, "detected": 4, "iou": 1.0}}
    assert result["sets"]["patrol_non_targ"]["iou_bg"] == 1
    assert result["input_size"] == [64, 64]
    assert "class map" in result["channels"] if model == "copying_served" else "exact" in result["channels"]


@pytest.mark.parametrize("model", ["copying_keras", "copying_float", "copying_served"])
def test_the_threshold_is_128_of_255(model, evaluation, request):
    """A target probability of 127/255 is none and 128/255 is one."""
    predict = open_predictor(request.getfixturevalue(model))
    images = np.zeros((2, 64, 64, 3), dtype=np.uint8)
    images[0, :, :, 2], images[1, :, :, 2] = 127, 128
    assert [int((channels[:, :, 2] >= 128).sum()) for channels in predict(images)] == [0, 64 * 64]


def test_probabilities_are_cut_not_rounded():
    """floor(255 p), so that p >= 128/255 is exactly above 127; every multiple of 1/255 comes back."""
    assert to_levels(np.array([0.0, 0.499, 127.99 / 255, 1.0], dtype=np.float32)).tolist() == [0, 127, 127, 255]


def test_a_model_that_sees_nothing_scores_nothing(evaluation, tmp_path):
    """Missed targets are counted, and the worst ones lead the sheet."""
    for path in evaluation.glob("*/images/*.png"):
        Image.new("RGB", (64, 64), (255, 0, 0)).save(path)
    blind = _save_onnx(tmp_path / "blind.onnx", FLOAT, [("probabilities", TensorProto.FLOAT, [3])])
    result = evaluate(blind, evaluation, tmp_path / "report")
    assert (result["final"], result["fn"], result["tp"]) == (0, 8, 0)
    assert json.loads((tmp_path / "report" / "evaluation.json").read_text()) == json.loads(json.dumps(result))
    with Image.open(tmp_path / "report" / "worst.png") as sheet:
        assert sheet.size == (2 * 3 * 224, 4 * (224 + 18))
    evaluate(blind, evaluation, tmp_path / "short", worst=2)
    with Image.open(tmp_path / "short" / "worst.png") as sheet:
        assert sheet.size == (2 * 3 * 224, 224 + 18)


def test_a_run_is_evaluated_into_its_folder(copying_keras, evaluation):
    """A run's folder names its best model and receives report and sheet; a model on its own leaves no files."""
    run = copying_keras.parent / "run"
    run.mkdir()
    copying_keras.rename(run / "best.keras")
    evaluate(run / "best.keras", evaluation)
    assert not (run / "worst.png").exists()
    (run / "config.json").write_text("{}")
    evaluate(run, evaluation.parent)
    assert {"evaluation.json", "worst.png"} <= {path.name for path in run.iterdir()}


def test_a_model_of_any_size_is_told_one(evaluation, tmp_path):
    """A model with an open size needs --size; one with a fixed size takes no other."""
    path = _save_onnx(tmp_path / "any.onnx", FLOAT, [("probabilities", TensorProto.FLOAT, [3])], side=None)
    with pytest.raises(BadInput, match="--size 256x256"):
        evaluate(path, evaluation)
    assert evaluate(path, evaluation, size=(64, 64))["final"] == 1
    fixed = _save_onnx(tmp_path / "fixed.onnx", FLOAT, [("probabilities", TensorProto.FLOAT, [3])])
    with pytest.raises(BadInput, match="takes 64x64"):
        open_predictor(fixed, (32, 32))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.onnx", None, "no model"),
        ("broken.onnx", b"junk", "not an ONNX model"),
        ("broken.keras", b"junk", "not a Keras model"),
        ("weights.h5", b"junk", "neither"),
    ],
)
def test_what_is_no_model_is_refused_by_name(tmp_path, name, content, message):
    """Missing, damaged and foreign files are named."""
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(BadModel, match=rf"{message}.*{name}|{name}.*{message}"):
        open_predictor(tmp_path / name)


def test_an_onnx_model_with_other_outputs_is_refused(tmp_path):
    """A model without the contract's outputs is refused, and its outputs are named."""
    nodes = [helper.make_node("Identity", ["image"], ["logits"])]
    path = _save_onnx(tmp_path / "other.onnx", nodes, [("logits", TensorProto.UINT8, [3])])
    with pytest.raises(BadModel, match="logits"):
        open_predictor(path)


def test_damaged_evaluation_data_is_named(copying_float, evaluation):
    """A damaged frame, or a missing set, stops the evaluation with its name."""
    victim = evaluation / "patrol_with_targ" / "masks" / "2__mask_00002.png"
    victim.write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(BadDataset, match="2__mask_00002"):
        evaluate(copying_float, evaluation)
    shutil.rmtree(evaluation / "following_images")
    with pytest.raises(BadDataset, match="lacks following_images of the official sets"):
        evaluate(copying_float, evaluation)


def test_a_frame_beyond_the_limits_is_named(copying_float, evaluation):
    """A picture of too many pixels stops the evaluation with its name."""
    huge = encode_png(np.zeros((4097, 4096), np.uint8))
    (evaluation / "following_images" / "images" / "2_run2cam1_00001.png").write_bytes(huge)
    with pytest.raises(BadDataset, match=r"2_run2cam1_00001.png: max_pixels"):
        evaluate(copying_float, evaluation)


def test_bars_of_a_letterboxed_frame_do_not_count_in_the_held_out_score(tmp_path):
    """A wide frame whose every pixel is found scores in full, whatever a network sees in the bars around it."""
    for name, picture in (("images", np.zeros((20, 40, 3))), ("masks", np.full((20, 40, 3), (0, 0, 255)))):
        (tmp_path / "set" / name).mkdir(parents=True)
        (tmp_path / "set" / name / f"1_run1_{name}.png").write_bytes(encode_png(picture.astype(np.uint8)))
    frames = open_frames([tmp_path / "set"])
    score = held_out_score(lambda images: np.eye(3)[np.full(images.shape[:3], 2)], frames, (32, 32))
    assert score.sets["following_images"]["iou_hero"] == 1


@pytest.mark.parametrize(
    ("pixels", "name"),
    [
        (0, "patrol_non_targ"),
        (3, "patrol_non_targ"),
        (4, "patrol_with_targ"),
        (199, "patrol_with_targ"),
        (200, "following_images"),
    ],
)
def test_held_out_frames_stand_in_for_the_official_sets(pixels, name):
    """How much target a held-out frame shows decides which set it stands in for."""
    assert stand_in(pixels) == name


def test_any_labelled_set_is_scored_without_a_final_number(copying_float, tmp_path, write_run):
    """A set in QuadSim's layout gets counts and overlaps by size; only the official sets make a final score."""
    write_run(tmp_path / "mine" / "city", "1_run1", 6, seed=1, target=16)
    for place in (tmp_path / "mine", tmp_path / "mine" / "city"):
        result = evaluate(copying_float, place)
        assert "final" not in result
        assert result["sets"]["city"]["n"] == 6
        assert result["sets"]["city"]["tp"] + result["sets"]["city"]["fn"] == 4
    (tmp_path / "mine" / "city" / "masks" / "1_run1_mask_00003.png").unlink()
    with pytest.raises(BadDataset, match="city cannot be scored on"):
        evaluate(copying_float, tmp_path / "mine")


def test_data_without_labelled_sets_is_refused(copying_float, tmp_path):
    """The message says which folders it looked for."""
    with pytest.raises(BadDataset, match="images/ and masks/"):
        evaluate(copying_float, tmp_path)


def test_several_folders_may_be_given(copying_float, evaluation, tmp_path, write_run):
    """QUADFOLLOW_DATA lists folders as for training; of labelled sets all are scored, official ones go before."""
    for place in ("one/street", "two/street", "two/plaza"):
        write_run(tmp_path / place, "city", 5, seed=1, target=16)
    folders = [tmp_path / "one", tmp_path / "two"]

    def score(*data):
        environment = {"QUADFOLLOW_DATA": os.pathsep.join(map(str, data))}
        return json.loads(CliRunner().invoke(command, [str(copying_float), "--json"], env=environment).stdout)

    assert {name: part["n"] for name, part in score(*folders)["sets"].items()} == {"street": 10, "plaza": 5}
    assert "final" in score(*folders, evaluation)


def test_the_last_network_of_a_run_on_jax_can_be_opened(tmp_path):
    """In a process that has not trained, and so does not know its layers yet."""
    spec = Spec(input_size=(32, 32), encoders=(4,), bottleneck=4, decoders=(4,))
    build(spec, shifted=True).save(tmp_path / "last.keras")
    program = (
        "import sys; from pathlib import Path; from quadfollow_training.predictors import open_predictor\n"
        "print(open_predictor(Path(sys.argv[1])).size)"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    words = [sys.executable, "-c", program, str(tmp_path / "last.keras")]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == "(32, 32)\n", done.stderr
