"""What a conversion promises: types, shapes, operators, and the same answers as Keras."""

from __future__ import annotations

from collections import Counter
from typing import Any

import keras
import numpy as np
import pytest
from tests.export.conftest import SIZE, build_network

from quadfollow_core.contract import CLASSES_OUTPUT, INPUT, PROBABILITY_OUTPUT
from quadfollow_core.errors import BadModel
from quadfollow_core.scoring import to_levels
from quadfollow_export.convert import Converted, convert
from quadfollow_export.exporting import keras_predictor
from quadfollow_export.session import open_session

NORMS = ["after-relu", "before-relu"]
WIDTH, HEIGHT = SIZE


def described(value: Any) -> tuple[str, int, list[Any]]:
    """Name, element type and shape of a graph's input or output."""
    kind = value.type.tensor_type
    return value.name, kind.elem_type, [side.dim_param or side.dim_value for side in kind.shape.dim]


@pytest.mark.parametrize("norm", NORMS)
def test_input_and_outputs_are_as_the_contract_says(conversions: dict[str, Converted], norm: str) -> None:
    """The served model takes and gives uint8, any number of frames."""
    uint8 = 2
    graph = conversions[norm].answers.graph
    assert [described(value) for value in graph.input] == [(INPUT, uint8, ["N", HEIGHT, WIDTH, 3])]
    assert [described(value) for value in graph.output] == [
        (CLASSES_OUTPUT, uint8, ["N", HEIGHT, WIDTH]),
        (PROBABILITY_OUTPUT, uint8, ["N", HEIGHT, WIDTH]),
    ]


@pytest.mark.parametrize("norm", NORMS)
def test_no_normalisation_softmax_or_concatenation_is_left(conversions: dict[str, Converted], norm: str) -> None:
    """Only the image's own Mul and Add stay, and one transposition."""
    kinds = Counter(node.op_type for node in conversions[norm].answers.graph.node)
    gone = ("BatchNormalization", "Softmax", "ArgMax", "Concat", "Identity")
    assert [kind for kind in gone if kinds[kind]] == []
    in_head = 1
    assert (kinds["Mul"], kinds["Transpose"]) == (1 + in_head, 1)


def test_the_seeds_order_needs_depthwise_rewrites_and_the_other_none(conversions: dict[str, Converted]) -> None:
    """Batch norm behind ReLU is rewritten; before it, it is folded by tf2onnx or by the passes."""
    assert conversions["after-relu"].rewrites["affine_to_depthwise_conv"] > 0
    assert conversions["after-relu"].rewrites["fold_affine_into_next_conv"] == 2
    assert conversions["before-relu"].rewrites["affine_to_depthwise_conv"] == 0


@pytest.mark.parametrize("norm", NORMS)
def test_the_answers_are_those_of_keras(
    networks: dict[str, Any], conversions: dict[str, Converted], frames: Any, norm: str
) -> None:
    """Probabilities agree to 1e-5, classes on every pixel that is not a tie."""
    (expected,) = keras_predictor(networks[norm])(frames)
    (actual,) = open_session(conversions[norm].probabilities.SerializeToString())(frames)
    assert actual.shape == (8, HEIGHT, WIDTH, 3)
    np.testing.assert_allclose(actual, expected, atol=1e-5)
    classes, _ = open_session(conversions[norm].answers.SerializeToString())(frames)
    assert np.array_equal(classes, actual.argmax(axis=-1))
    assert set(np.unique(classes)) == {0, 1, 2}, "the test's network never answers some class"


@pytest.mark.parametrize("norm", NORMS)
def test_target_probability_is_floor_of_255_p(conversions: dict[str, Converted], frames: Any, norm: str) -> None:
    """Every level is floor(255 p) of the float variant's p, so p >= 128/255 is exactly > 127."""
    converted = conversions[norm]
    (probabilities,) = open_session(converted.probabilities.SerializeToString())(frames)
    _, levels = open_session(converted.answers.SerializeToString())(frames)
    assert levels.dtype == np.uint8
    assert np.array_equal(levels, to_levels(probabilities)[..., 2])
    assert np.array_equal(levels > 127, probabilities[..., 2] * np.float32(255) >= 128)


@pytest.mark.parametrize("batch", [1, 3])
def test_any_number_of_frames_is_answered_alike(conversions: dict[str, Converted], frames: Any, batch: int) -> None:
    """A frame's answer does not depend on the frames beside it."""
    predict = open_session(conversions["after-relu"].answers.SerializeToString())
    for whole, part in zip(predict(frames), predict(frames[:batch]), strict=True):
        assert np.array_equal(whole[:batch], part)


def test_multiply_accumulates_are_counted_by_the_book() -> None:
    """A convolution costs kernel x channels x filters per pixel it makes."""
    image = keras.Input((8, 16, 3), dtype="uint8")
    tensor = keras.layers.Rescaling(1 / 255)(image)
    tensor = keras.layers.Conv2D(5, 3, strides=2, padding="same")(tensor)
    tensor = keras.layers.Conv2DTranspose(4, 2, strides=2)(tensor)
    network = keras.Model(image, keras.layers.Conv2D(3, 1, activation="softmax")(tensor))
    assert convert(network, (16, 8)).macs == 4 * 8 * 9 * 3 * 5 + 4 * 8 * 2 * 2 * 5 * 4 + 8 * 16 * 4 * 3


def test_a_network_without_softmax_is_refused() -> None:
    """Logits are found behind a softmax; a sigmoid per class is another kind of network."""
    network = build_network()
    network = keras.Model(network.input, keras.layers.Activation("sigmoid")(network.layers[-1].output))
    with pytest.raises(BadModel, match="does not end in one softmax"):
        convert(network, SIZE)
