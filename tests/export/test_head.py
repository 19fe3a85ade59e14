"""A frame that is not sure of its target anywhere: what the exported graph makes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from tests.export.conftest import SIZE

from quadfollow_core.contract import METADATA_KEY, Contract
from quadfollow_core.errors import BadInput
from quadfollow_core.resize import TARGET
from quadfollow_export.convert import Converted, convert
from quadfollow_export.exporting import Options, export_network, keras_predictor
from quadfollow_export.head import hold_back
from quadfollow_export.precision import Allowed, make_variant
from quadfollow_export.session import open_openvino, open_session

NORM = "before-relu"


def leads_of(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each frame's largest difference between the target's logit and the higher of the others."""
    logits = np.log(probabilities)
    leads: NDArray[np.float32] = (logits[..., 2] - logits[..., :2].max(axis=-1)).max(axis=(1, 2))
    return leads


@pytest.fixture(scope="module")
def plain(networks: dict[str, Any], frames: Any) -> NDArray[np.float32]:
    """The network's own probabilities."""
    (probabilities,) = keras_predictor(networks[NORM])(frames)
    return np.asarray(probabilities)


@pytest.fixture(scope="module")
def least_lead(plain: NDArray[np.float32]) -> float:
    """A lead that some of the frames have and others lack, though in each of them there is a target."""
    leads = np.sort(leads_of(plain))
    assert leads[0] > 0, "a frame without a target cannot lose it"
    return float(leads[3] + leads[4]) / 2


@pytest.fixture(scope="module")
def held(networks: dict[str, Any], least_lead: float) -> Converted:
    """The network, converted so that it holds back what is not sure."""
    return convert(networks[NORM], SIZE, least_lead)


def test_a_frame_that_is_not_sure_has_no_target_and_a_sure_one_stays_as_it_is(
    conversions: dict[str, Converted], held: Converted, plain: NDArray[np.float32], frames: Any, least_lead: float
) -> None:
    """Sure frames answer bit for bit as before; in the others only the target's pixels change, to the next class."""
    classes, levels = open_session(conversions[NORM].answers.SerializeToString())(frames)
    held_classes, held_levels = open_session(held.answers.SerializeToString())(frames)
    is_sure = leads_of(plain) >= least_lead
    assert is_sure.sum() == len(frames) // 2
    assert np.array_equal(held_classes[is_sure], classes[is_sure])
    assert np.array_equal(held_levels[is_sure], levels[is_sure])

    assert np.all((classes[~is_sure] == TARGET).any(axis=(1, 2)))
    assert not (held_classes[~is_sure] == TARGET).any()
    others = plain[~is_sure][..., :2].argmax(axis=-1)
    was_target = classes[~is_sure] == TARGET
    assert np.array_equal(held_classes[~is_sure], np.where(was_target, others, classes[~is_sure]))
    tied = held_levels[~is_sure][was_target]
    assert 84 <= tied.min() <= tied.max() < 128, "a tie of two or three classes has a probability of 1/2 to 1/3"


def test_a_frame_answers_alike_beside_any_other(held: Converted, frames: Any) -> None:
    """Whether a frame is sure does not depend on the frames of its batch."""
    predict = open_session(held.answers.SerializeToString())
    for whole, *parts in zip(predict(frames), *(predict(frames[i : i + 1]) for i in range(len(frames))), strict=True):
        assert np.array_equal(whole, np.concatenate(parts))


def test_the_float_variant_and_the_reference_hold_back_alike(
    held: Converted, plain: NDArray[np.float32], frames: Any, least_lead: float
) -> None:
    """Probabilities still sum to 1 and agree with what the proof makes of the network's own."""
    (probabilities,) = open_session(held.probabilities.SerializeToString())(frames)
    np.testing.assert_allclose(probabilities.sum(axis=-1), 1, atol=1e-5)
    np.testing.assert_allclose(probabilities, hold_back(plain, least_lead), atol=1e-5)
    assert np.abs(probabilities - plain).max() > 0.01, "nothing was held back"
    assert hold_back(plain, 0) is plain


def test_the_contract_and_the_card_tell_of_it(run_folder: Path, tmp_path: Path) -> None:
    """A proven export carries the lead it was made with, and a model without one says nothing of it."""
    exported = export_network(run_folder, tmp_path / "sure.onnx", Options(frames=4, least_lead=2.5))
    assert exported.contract.least_lead == 2.5
    assert "leads the other classes by 2.5 in logits (probability 0.9241)" in exported.card.read_text()
    plain = export_network(run_folder, tmp_path / "plain.onnx", Options(frames=4))
    assert plain.contract.least_lead == 0
    assert "leads" not in plain.card.read_text()


@pytest.mark.parametrize(("least_lead", "any_target"), [(0.0, True), (1e3, False)])
def test_a_variant_in_integers_holds_back_and_is_scored_so(
    networks: dict[str, Any],
    frames: Any,
    evaluation: Path,
    recordings: Path,
    tmp_path: Path,
    least_lead: float,
    any_target: bool,
) -> None:
    """Below a lead that no frame has a variant answers no target, and the score it reports is that of these answers."""
    model = convert(networks[NORM], SIZE, least_lead).answers
    onnx.helper.set_model_props(model, {METADATA_KEY: Contract("tiny", *SIZE, least_lead=least_lead).to_json()})
    path = tmp_path / "tiny.onnx"
    onnx.save(model, path)
    made = make_variant(path, "int8", recordings, evaluation, Allowed(class_share=1, target_share=1, score=1))
    classes, _ = open_openvino(made.path.read_bytes())(frames)
    assert (classes == TARGET).any() == any_target
    assert made.contract.least_lead == least_lead
    found = sum(part["tp"] + part["fp"] for part in made.contract.score["sets"].values())
    assert (found > 0) == any_target


@pytest.mark.parametrize("least", [-1.0, float("nan"), float("inf")])
def test_a_lead_that_is_none_is_refused(least: float) -> None:
    """It is a difference of logits, from 0 up."""
    with pytest.raises(BadInput, match="lead"):
        Options(least_lead=least)
