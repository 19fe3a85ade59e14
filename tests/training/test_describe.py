"""Counting and drawing a network."""

from __future__ import annotations

from dataclasses import replace

import pytest
from PIL import Image

from quadfollow_core.errors import BadInput
from quadfollow_training.describe import describe
from quadfollow_training.fcn import Spec, build
from quadfollow_training.picture import draw_network, merge

PROBE = Spec((256, 256), 12, (24, 48, 80, 128, 192), 192, (96, 64, 40, 24, 16), norm="before-relu")


def test_counts_agree_with_an_independent_measurement():
    """A network measured elsewhere at 157 k parameters and 0.223 GMAC is counted so here."""
    description = describe(PROBE)
    assert round(description.parameters / 1e3) == 157
    assert round(description.macs / 1e9, 3) == 0.223


def test_parameters_are_those_keras_counts(tiny_recipe):
    """The sum over the layers is the model's own count."""
    network = build(tiny_recipe.spec)
    assert describe(network).parameters == network.count_params()


@pytest.mark.parametrize(
    ("change", "layer", "macs"),
    [
        ({}, "encoder1_conv", 16 * 16 * (9 * 3 + 3 * 4)),
        ({"separable": False}, "encoder1_conv", 16 * 16 * 9 * 3 * 4),
        ({"upsampling": "transposed"}, "decoder1_up", 8 * 8 * 4 * 8 * 8),  # from 8x8, kernel 2x2, 8 to 8 channels
        ({}, "bottleneck_conv", 8 * 8 * 8 * 8),
        ({}, "probabilities", 32 * 32 * 4 * 3),
        ({}, "encoder1_norm", 0),
    ],
)
def test_macs_of_a_layer_are_exact(tiny_recipe, change, layer, macs):
    """Multiply-accumulates are counted by hand for one layer of each kind."""
    layers = {found.name: found for found in describe(replace(tiny_recipe.spec, **change)).layers}
    assert layers[layer].macs == macs


def test_four_times_the_pixels_are_four_times_the_work(tiny_recipe):
    """Work grows with the picture, parameters do not."""
    small, large = describe(tiny_recipe.spec), describe(replace(tiny_recipe.spec, input_size=(64, 64)))
    assert (large.macs, large.parameters) == (4 * small.macs, small.parameters)


def test_a_network_of_any_size_has_no_number(tiny_recipe):
    """Without a fixed size there is nothing to count."""
    with pytest.raises(BadInput, match="any size"):
        describe(build(tiny_recipe.spec, any_size=True))


def test_the_picture_shows_every_layer_once(tiny_recipe):
    """Norms and activations merge into the box they follow, and no layer is lost."""
    description = describe(tiny_recipe.spec)
    boxes, home = merge(description)
    assert set(home) == {layer.name for layer in description.layers}
    assert {box.layer.name for box in boxes} == set(home.values())
    assert sum(box.parameters for box in boxes) == description.parameters
    assert sum(len(box.text) for box in boxes) == len(description.layers)


def test_the_drawing_is_a_picture_file(tiny_recipe, tmp_path):
    """The architecture is drawn into a PNG from the model itself."""
    draw_network(build(tiny_recipe.spec), tmp_path / "network.png")
    with Image.open(tmp_path / "network.png") as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 200
