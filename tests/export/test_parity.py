"""The proof passes what is equal and refuses what is not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from tests.export.conftest import SIZE

from quadfollow_core.errors import ExportRefused
from quadfollow_export.convert import Converted
from quadfollow_export.exporting import keras_predictor, require_score
from quadfollow_export.frames import Samples
from quadfollow_export.parity import Parity, Tolerances, measure, require
from quadfollow_export.session import open_session

GOOD = Parity(
    frames="8 rendered frames",
    probability=1e-6,
    class_share=0.0,
    level_share=0.0,
    rounding=0,
    decision=0,
    batch=0.0,
    control={"mirrored": 0.9, "red and blue swapped": 0.8},
    target_iou={"keras": 0.5, "onnx": 0.5001},
)


def perturbed(model: Any, factor: float) -> Any:
    """The same model with one weight of its last convolution changed."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    last = [node for node in changed.graph.node if node.op_type == "Conv"][-1]
    tensor = next(item for item in changed.graph.initializer if item.name == last.input[1])
    weights = numpy_helper.to_array(tensor).copy()
    weights.flat[0] += factor
    tensor.CopyFrom(numpy_helper.from_array(weights, tensor.name))
    return changed


def person_favoured(model: Any, shift: float) -> Any:
    """The same model with the person's logit raised where it is compared with the background's."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    cast = {name for node in changed.graph.node if node.op_type == "Cast" for name in node.input}
    place, comparison = next(
        (place, node)
        for place, node in enumerate(changed.graph.node)
        if node.op_type == "Greater" and node.output[0] in cast
    )
    changed.graph.initializer.append(numpy_helper.from_array(np.float32(shift), "shift"))
    raised = helper.make_node("Add", [comparison.input[0], "shift"], ["raised"])
    comparison.input[0] = "raised"
    changed.graph.node.insert(place, raised)
    return changed


def proof_of(network: Any, answers: Any, probabilities: Any, samples: Samples) -> Parity:
    """Measure two models against a network."""
    sessions = (open_session(model.SerializeToString()) for model in (answers, probabilities))
    return measure(keras_predictor(network), *sessions, samples)


@pytest.mark.parametrize("norm", ["after-relu", "before-relu"])
def test_a_true_export_passes(
    networks: dict[str, Any], conversions: dict[str, Converted], frames: Any, norm: str
) -> None:
    """Both orders of normalisation convert within a hundredth of the tolerance."""
    converted = conversions[norm]
    proof = proof_of(networks[norm], converted.answers, converted.probabilities, Samples(frames, "test"))
    require(proof, Tolerances())
    assert proof.probability < 1e-5
    assert (proof.rounding, proof.decision) == (0, 0)
    assert min(proof.control.values()) > 0.1


def test_one_changed_weight_is_refused(
    networks: dict[str, Any], conversions: dict[str, Converted], frames: Any
) -> None:
    """A weight off by a hundredth shows in the probabilities."""
    converted = conversions["after-relu"]
    changed = [perturbed(model, 0.01) for model in (converted.answers, converted.probabilities)]
    proof = proof_of(networks["after-relu"], *changed, Samples(frames, "test"))
    with pytest.raises(ExportRefused, match="largest probability difference"):
        require(proof, Tolerances())


def test_a_changed_weight_in_the_served_variant_alone_is_refused(
    networks: dict[str, Any], conversions: dict[str, Converted], frames: Any
) -> None:
    """The float variant does not vouch for a served model that differs from it."""
    converted = conversions["after-relu"]
    changed = perturbed(converted.answers, 0.05)
    proof = proof_of(networks["after-relu"], changed, converted.probabilities, Samples(frames, "test"))
    with pytest.raises(ExportRefused, match="floor"):
        require(proof, Tolerances())


def test_the_target_iou_is_compared_where_there_is_truth(
    networks: dict[str, Any], conversions: dict[str, Converted], frames: Any
) -> None:
    """With masks, the IoU of both is part of the proof."""
    (answer,) = keras_predictor(networks["after-relu"])(frames)
    truth = tuple(answer >= np.float32(128 / 255))
    converted = conversions["after-relu"]
    samples = Samples(frames, "test", truth, (frames.shape[1:],) * len(frames))
    proof = proof_of(networks["after-relu"], converted.answers, converted.probabilities, samples)
    assert proof.target_iou is not None
    assert proof.target_iou["keras"] == pytest.approx(np.mean([t[..., 2].any() for t in truth]))
    assert proof.score_difference == pytest.approx(0, abs=1e-3)


def test_a_decision_off_by_little_is_refused(
    networks: dict[str, Any], conversions: dict[str, Converted], frames: Any
) -> None:
    """Classes must be the likeliest ones exactly, even where so few differ that their share would pass."""
    converted = conversions["after-relu"]
    changed = person_favoured(converted.answers, 0.05)
    proof = proof_of(networks["after-relu"], changed, converted.probabilities, Samples(frames, "test"))
    assert proof.rounding == 0
    with pytest.raises(ExportRefused, match="class is not the likeliest"):
        require(proof, Tolerances(class_share=1.0))


@pytest.mark.parametrize(
    ("given", "wrong"), [((0, 0, 0), 0), ((1, 0, 0), 0), ((2, 0, 0), 1), ((0, 1, 0), 1), ((0, 0, 3), 1)]
)
def test_ties_alone_leave_a_choice(given: tuple[int, ...], wrong: int) -> None:
    """Either of two equal classes is right; a less likely one, or one that does not exist, is not."""
    likely = np.array([[[[0.45, 0.45, 0.1], [0.6, 0.3, 0.1], [1.0, 0.0, 0.0]]]] * 3, np.float32)
    classes = np.array([[given]] * 3, np.uint8)
    levels = (likely[..., 2] * 255).astype(np.uint8)
    samples = Samples(np.zeros((3, 1, 3, 3), np.uint8), "test")

    def probabilities(batch: Any) -> list[Any]:
        return [likely[: len(batch)]]

    proof = measure(probabilities, lambda _: [classes, levels], probabilities, samples)
    assert proof.decision == 3 * wrong


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"probability": 2e-3}, "largest probability difference 0.002, allowed 0.001"),
        ({"probability": float("nan")}, "largest probability difference nan"),
        ({"class_share": 2e-4}, "share of pixels with another class 0.0002, allowed 0.0001"),
        ({"rounding": 1}, "not floor"),
        ({"decision": 1}, "pixels whose class is not the likeliest 1, allowed 0"),
        ({"batch": 1e-3}, "difference between batch sizes"),
        ({"target_iou": {"keras": 0.5, "onnx": 0.49}}, "difference of the target's IoU 0.01, allowed 0.001"),
        ({"control": {"mirrored": 0.0}}, "negative control shows nothing: mirrored"),
        ({"control": {"mirrored": float("nan")}}, "negative control shows nothing: mirrored"),
    ],
)
def test_each_figure_out_of_tolerance_is_named(change: dict[str, Any], message: str) -> None:
    """A refusal says what was found and what is allowed."""
    require(GOOD, Tolerances())
    with pytest.raises(ExportRefused, match=message):
        require(replace(GOOD, **change), Tolerances())


def test_a_network_that_sees_nothing_fails_the_negative_control(networks: dict[str, Any], frames: Any) -> None:
    """Two models that always answer the same agree, and prove nothing."""
    width, height = SIZE
    constant = np.full((height, width, 3), 1 / 3, np.float32)
    levels = np.full((height, width), 85, np.uint8)

    def probabilities(batch: Any) -> list[Any]:
        return [np.stack([constant] * len(batch))]

    def answers(batch: Any) -> list[Any]:
        return [np.zeros((len(batch), height, width), np.uint8), np.stack([levels] * len(batch))]

    proof = measure(probabilities, answers, probabilities, Samples(frames, "test"))
    assert len(proof.faults(Tolerances())) == 2
    with pytest.raises(ExportRefused, match=r"mirrored.*red and blue swapped"):
        require(proof, Tolerances())


def test_official_scores_apart_are_refused() -> None:
    """A score that moved by more than a thousandth is refused."""
    require_score({"keras": 0.54, "onnx": 0.5404}, Tolerances())
    with pytest.raises(ExportRefused, match=r"0\.5400 in Keras and 0\.5300 in ONNX"):
        require_score({"keras": 0.54, "onnx": 0.53}, Tolerances())
