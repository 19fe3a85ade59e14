"""The network's specification and what is built from it."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

import quadfollow_training
from quadfollow_core.errors import BadInput
from quadfollow_training.fcn import Spec, build, check_size

SEED_LAYERS = [
    ("encoder1_norm", (80, 80, 16)),
    ("encoder2_norm", (40, 40, 32)),
    ("encoder3_norm", (20, 20, 64)),
    ("encoder4_norm", (10, 10, 128)),
    ("encoder5_norm", (5, 5, 256)),
    ("bottleneck_norm", (5, 5, 256)),
    ("decoder1_skip", (10, 10, 256 + 128)),
    ("decoder1b_norm", (10, 10, 128)),
    ("decoder4_skip", (80, 80, 32 + 16)),
    ("decoder5_skip", (160, 160, 16 + 3)),
    ("decoder5b_norm", (160, 160, 16)),
    ("probabilities", (160, 160, 3)),
]


def test_the_default_is_the_seeds_network_layer_for_layer():
    """The seed's filters give the seed's shapes, and the last decoder meets the input itself."""
    network = build(Spec())
    for name, shape in SEED_LAYERS:
        assert network.get_layer(name).output.shape[1:] == shape, name


def test_the_seed_normalises_after_the_relu():
    """Each of the seed's blocks is convolution, ReLU, then batch normalisation."""
    names = [layer.name for layer in build(Spec()).layers]
    at = names.index("encoder1_conv")
    assert names[at : at + 3] == ["encoder1_conv", "encoder1_relu", "encoder1_norm"]


def test_probabilities_sum_to_one_and_take_uint8(tiny_recipe):
    """The network eats a camera frame as it is and answers a distribution per pixel."""
    network = build(tiny_recipe.spec)
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.uint8)
    probabilities = network.predict_on_batch(images)
    assert network.input.dtype == "uint8"
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=-1), 1, atol=1e-5)


def test_normalisation_lies_inside_the_model(tiny_recipe):
    """The values 0 and 255 become -1 and 1 in the first layer."""
    network = build(tiny_recipe.spec)
    first = keras.Model(network.input, network.get_layer("normalise").output)
    values = first.predict_on_batch(np.array([[[[0, 0, 0]] * 32] * 16 + [[[255, 255, 255]] * 32] * 16], dtype=np.uint8))
    assert (values.min(), values.max()) == (-1, 1)


@pytest.mark.parametrize(
    ("change", "layer", "shape"),
    [
        ({"stem": 6}, "decoder2_skip", (32, 32, 8 + 6)),  # with a stem the last skip is the stem, not the input
        ({"skips": False}, "decoder2a_conv", (32, 32, 4)),
        ({"separable": False}, "encoder1_conv", (16, 16, 4)),
        ({"upsampling": "transposed"}, "decoder1_up", (16, 16, 8)),
        ({"encoders": (4, 4, 4), "decoders": (4, 4, 4)}, "encoder3_conv", (4, 4, 4)),
    ],
)
def test_variants_are_a_field_each(tiny_recipe, change, layer, shape):
    """Stem, skips, plain convolutions, transposed upsampling and depth follow from one field of the specification."""
    network = build(replace(tiny_recipe.spec, **change))
    assert network.get_layer(layer).output.shape[1:] == shape
    assert network.output_shape == (None, 32, 32, 3)


def test_without_skips_there_is_no_concatenation(tiny_recipe):
    """A network without skips has none."""
    layers = build(replace(tiny_recipe.spec, skips=False)).layers
    assert not any(isinstance(layer, keras.layers.Concatenate) for layer in layers)


@pytest.mark.parametrize(("norm", "order"), [("before-relu", ["norm", "relu"]), ("none", ["relu"])])
def test_normalisation_goes_where_the_specification_says(tiny_recipe, norm, order):
    """Batch normalisation comes before the ReLU or not at all, on request."""
    names = [layer.name for layer in build(replace(tiny_recipe.spec, norm=norm)).layers]
    assert [name.split("_")[1] for name in names if name.startswith("encoder1_")] == ["conv", *order]


def test_the_training_network_takes_any_size_and_the_same_weights(tiny_recipe):
    """Weights learnt on crops fit the network of fixed size, and both answer alike."""
    loose, fixed = build(tiny_recipe.spec, any_size=True), build(tiny_recipe.spec)
    fixed.set_weights(loose.get_weights())
    images = np.random.default_rng(1).integers(0, 256, (1, 32, 32, 3)).astype(np.uint8)
    np.testing.assert_allclose(loose.predict_on_batch(images), fixed.predict_on_batch(images), atol=1e-6)
    assert loose(np.zeros((1, 48, 64, 3), np.uint8)).shape == (1, 48, 64, 3)


@pytest.mark.parametrize(
    "bad",
    [
        {"input_size": (160, 150)},  # not divisible by 32
        {"input_size": (0, 32)},
        {"decoders": (8, 4)},  # fewer than encoders
        {"encoders": (), "decoders": ()},
        {"bottleneck": 0},
        {"norm": "layer"},
        {"upsampling": "nearest"},
    ],
)
def test_impossible_specifications_are_refused(bad):
    """What cannot be built is refused when it is written down."""
    with pytest.raises(BadInput):
        replace(Spec(), **bad)


def test_the_refusal_of_a_size_names_the_divisor():
    """The message says which multiple is needed and what came."""
    with pytest.raises(BadInput, match=r"multiples of 32 .* got \(100, 64\)"):
        check_size((100, 64), 32)


def test_the_package_names_no_backend():
    """Training is written against Keras alone: no module imports TensorFlow, JAX or PyTorch."""
    for path in Path(quadfollow_training.__file__).parent.glob("*.py"):
        imports = [
            node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Import | ast.ImportFrom)
        ]
        names = {alias.name for node in imports for alias in node.names} | {
            getattr(node, "module", "") for node in imports
        }
        assert not {(name or "").split(".")[0] for name in names} & {"tensorflow", "jax", "torch"}, path.name


def test_other_filters_are_mirrored_as_in_the_seed():
    """Giving the encoders' filters gives all the others."""
    spec = Spec().with_filters((32, 64, 128, 256, 512))
    assert (spec.bottleneck, spec.decoders) == (512, (256, 128, 64, 32, 32))
    assert Spec().with_filters(Spec().encoders) == Spec()


@pytest.mark.parametrize("side", [32, 40])
def test_the_network_for_xla_computes_the_same(side):
    """Separable convolutions as shifted products give the same probabilities from the same weights."""
    spec = Spec(input_size=(side, side), stem=4, encoders=(4, 6, 8), repeats=2, bottleneck=8, decoders=(6, 5, 4))
    plain, shifted = build(spec), build(spec, shifted=True)
    shifted.set_weights(plain.get_weights())
    image = np.random.default_rng(0).integers(0, 256, (2, side, side, 3)).astype(np.uint8)
    expected, found = (keras.ops.convert_to_numpy(network(image)) for network in (plain, shifted))
    assert np.ptp(expected) > 0.01
    assert np.allclose(expected, found, atol=1e-5)
    assert {type(layer).__name__ for layer in shifted.layers} >= {"ShiftedSeparableConv2D"}


def test_an_encoder_repeats_its_convolutions():
    """The first of an encoder's convolutions halves the picture, the others keep its size."""
    network = build(Spec(input_size=(32, 32), encoders=(4, 6), repeats=3, bottleneck=8, decoders=(6, 5)))
    shapes = [network.get_layer(f"encoder2{end}_conv").output.shape[1:] for end in ("", "_2", "_3")]
    assert shapes == [(8, 8, 6)] * 3
    with pytest.raises(BadInput, match="at least one convolution"):
        Spec(repeats=0)


def test_blocks_that_are_to_be_regular_must_be_there():
    """A misspelt one is named together with those there are; the others keep their separable convolutions."""
    with pytest.raises(BadInput, match=r"decoder9b: there are stem, encoder1, .*decoder5b"):
        build(Spec(stem=4, regular=("decoder9b", "stem")))
    network = build(Spec(stem=4, regular=("stem", "decoder5b")))
    separable = [layer.name for layer in network.layers if isinstance(layer, keras.layers.SeparableConv2D)]
    assert len(separable) == 14
    assert not {"stem_conv", "decoder5b_conv"} & set(separable)
