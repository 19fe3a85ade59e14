"""A wider network that begins with a narrower one's function."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest

from quadfollow_core.errors import BadModel
from quadfollow_training.fcn import Spec, build
from quadfollow_training.growing import grow

NARROW = Spec(input_size=(32, 32), stem=3, encoders=(4, 5), bottleneck=5, decoders=(4, 3), norm="before-relu")
WIDE = replace(NARROW, stem=5, encoders=(4, 8), bottleneck=9, decoders=(6, 3))


def images(count: int) -> np.ndarray:
    """Some noise, the same each time."""
    return np.random.default_rng(count).integers(0, 256, (count, 32, 32, 3)).astype(np.uint8)


def trained(spec: Spec) -> keras.Model:
    """A network whose statistics are no longer those of a new one."""
    network = build(spec)
    network.compile(loss="sparse_categorical_crossentropy", optimizer=keras.optimizers.Adam(0.01))
    classes = np.random.default_rng(0).integers(0, 3, (8, 32, 32))
    network.fit(images(8), classes, epochs=2, verbose=0)
    return network


@pytest.mark.parametrize("norm", ["before-relu", "after-relu", "none"])
@pytest.mark.parametrize(
    "kind", [{}, {"separable": False}, {"upsampling": "transposed"}], ids=["separable", "regular", "transposed"]
)
def test_a_grown_network_answers_as_the_narrow_one(norm, kind):
    """Whatever the order of normalisation and the kind of convolution, the function is kept."""
    narrow = trained(replace(NARROW, norm=norm, **kind))
    wide = build(replace(WIDE, norm=norm, **kind))
    before = wide.predict_on_batch(images(3))
    grow(narrow, wide)
    np.testing.assert_allclose(wide.predict_on_batch(images(3)), narrow.predict_on_batch(images(3)), atol=1e-6)
    assert np.abs(before - narrow.predict_on_batch(images(3))).max() > 0.01


@pytest.mark.parametrize("norm", ["before-relu", "after-relu"])
def test_separable_convolutions_become_regular_ones(norm):
    """Multiplied out they answer the same, also where there are more of them, and then have more to learn with."""
    narrow = trained(replace(NARROW, norm=norm))
    regular = build(replace(WIDE, norm=norm, regular=("stem", "encoder2", "decoder2b")))
    grow(narrow, regular)
    np.testing.assert_allclose(regular.predict_on_batch(images(3)), narrow.predict_on_batch(images(3)), atol=1e-5)
    assert isinstance(regular.get_layer("encoder2_conv"), keras.layers.Conv2D)
    assert isinstance(regular.get_layer("encoder1_conv"), keras.layers.SeparableConv2D)


def test_regular_convolutions_do_not_become_separable_ones():
    """Most regular convolutions have no separable form."""
    with pytest.raises(BadModel, match="grown"):
        grow(build(replace(NARROW, regular=("stem",))), build(NARROW))


def test_equal_widths_are_a_copy():
    """A network grown by nothing has the same weights."""
    narrow = trained(NARROW)
    same = build(NARROW)
    grow(narrow, same)
    for one, other in zip(narrow.get_weights(), same.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_new_channels_can_learn():
    """Nobody listens to the new channels at first; training makes the weights that do differ from zero."""
    wide = build(WIDE)
    grow(trained(NARROW), wide)
    layer = wide.get_layer("encoder2_conv")
    assert np.abs(layer.get_weights()[1][0, 0, :, 5:]).max() > 0
    listening = wide.get_layer("bottleneck_conv")
    assert np.abs(listening.get_weights()[0][0, 0, 5:, :5]).max() == 0
    wide.compile(loss="sparse_categorical_crossentropy", optimizer=keras.optimizers.Adam(0.01))
    wide.fit(images(8), np.random.default_rng(1).integers(0, 3, (8, 32, 32)), verbose=0)
    assert np.abs(listening.get_weights()[0][0, 0, 5:, :5]).max() > 0


@pytest.mark.parametrize(
    "other",
    [replace(NARROW, stem=2), replace(NARROW, skips=False), replace(NARROW, encoders=(4,), decoders=(3,))],
    ids=["narrower", "no skips", "shallower"],
)
def test_only_widths_may_differ_and_only_upwards(other):
    """What cannot keep the function is refused."""
    with pytest.raises(BadModel, match="grown"):
        grow(build(NARROW), build(other))
