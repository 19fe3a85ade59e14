"""What a run's network begins with: another's weights, so that it answers as that one does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from quadfollow_core.errors import BadModel
from quadfollow_training.compiling import begin_with
from quadfollow_training.fcn import Spec, build

SPEC = Spec(input_size=(32, 32), stem=3, encoders=(4, 5), bottleneck=5, decoders=(4, 3), norm="before-relu")
SAVED = Path("saved.keras")


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


@pytest.mark.parametrize("kind", [{}, {"separable": False}, {"upsampling": "transposed"}])
def test_networks_of_equal_layers_are_copied(kind):
    """Weight by weight, whatever the kind of convolution."""
    saved, network = trained(replace(SPEC, **kind)), build(replace(SPEC, **kind))
    begin_with(saved, SAVED, network)
    for one, other in zip(saved.get_weights(), network.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("norm", ["before-relu", "after-relu"])
def test_separable_convolutions_become_regular_ones(norm):
    """Multiplied out they answer the same, and then have more to learn with."""
    saved = trained(replace(SPEC, norm=norm))
    regular = build(replace(SPEC, norm=norm, regular=("stem", "encoder2", "decoder2b")))
    before = regular.predict_on_batch(images(3))
    begin_with(saved, SAVED, regular)
    np.testing.assert_allclose(regular.predict_on_batch(images(3)), saved.predict_on_batch(images(3)), atol=1e-5)
    assert np.abs(before - saved.predict_on_batch(images(3))).max() > 0.01, "negative control"
    assert isinstance(regular.get_layer("encoder2_conv"), keras.layers.Conv2D)
    assert isinstance(regular.get_layer("encoder1_conv"), keras.layers.SeparableConv2D)


@pytest.mark.parametrize(
    ("saved", "wanted"),
    [
        (SPEC, replace(SPEC, stem=4)),
        (SPEC, replace(SPEC, stem=2)),
        (SPEC, replace(SPEC, skips=False)),
        (SPEC, replace(SPEC, encoders=(4,), decoders=(3,))),
        (SPEC, replace(SPEC, upsampling="transposed")),
        (replace(SPEC, regular=("stem",)), SPEC),  # most regular convolutions have no separable form
    ],
    ids=["wider", "narrower", "no skips", "shallower", "enlarged otherwise", "separable"],
)
def test_another_network_is_refused(saved, wanted):
    """By the file's name, with the remedy."""
    with pytest.raises(BadModel, match=r"saved\.keras cannot be begun with: .*; take a network of the same layers"):
        begin_with(build(saved), SAVED, build(wanted))
