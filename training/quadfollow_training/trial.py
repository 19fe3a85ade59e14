"""Short trainings without a run's folder: what the study and the tuning are made of."""

from __future__ import annotations

import keras

from quadfollow_training.batches import Batches, Sampler
from quadfollow_training.recipes import Recipe
from quadfollow_training.sampling import batches

MOMENTUM = 0.9
"""A mean over some ten batches; Keras' default of 0.99 takes several hundred to get away from where it began."""


def steps_for(recipe: Recipe, pixels: int) -> int:
    """How many of the recipe's steps train on so many pixels, to the nearest and at least one."""
    width, height = (recipe.crop, recipe.crop) if recipe.crop else recipe.spec.input_size
    return max(1, round(pixels / (recipe.batch * width * height)))


def quicken(network: keras.Model) -> keras.Model:
    """Let batch normalisation forget sooner, so that its statistics are right after some dozen steps; return it."""
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = MOMENTUM
    return network


def fit_epoch(network: keras.Model, recipe: Recipe, source: Sampler, epoch: int, kind: type[Batches] = Batches) -> None:
    """Train a compiled network for the recipe's steps, on the batches that are this epoch's.

    Args:
        network: compiled, as :func:`quadfollow_training.compiling.compile_network` does.
        recipe: how many steps of what batch, by which seed.
        source: draws the samples.
        epoch: its number, from 0.
        kind: another kind of batches, for a network that answers something else than masks.
    """
    drawn = batches(recipe, source, epoch, kind=kind)
    network.fit(drawn, initial_epoch=epoch, epochs=epoch + 1, shuffle=False, verbose=0)
