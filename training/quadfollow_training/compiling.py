"""A recipe's network with its loss and optimiser, new or as a run left it."""

from __future__ import annotations

from typing import Any

import keras

from quadfollow_core.errors import BadInput, BadModel
from quadfollow_training.fcn import build
from quadfollow_training.losses import SegmentationLoss
from quadfollow_training.recipes import Recipe
from quadfollow_training.rundir import RunFolder


def start(recipe: Recipe, folder: RunFolder) -> tuple[keras.Model, int]:
    """Build the network, or load the one to go on with; return it and the number of finished epochs.

    Raises:
        BadModel: what lies in the run's folder is not this recipe's network.
        BadInput: it was trained with another number of steps per epoch.
    """
    network = compile_network(recipe)
    if not folder.last.exists():
        return network, 0
    saved = load(folder)
    if [weight.shape for weight in saved.weights] != [weight.shape for weight in network.weights]:
        raise BadModel(f"{folder.last} is another network than recipe {recipe.name} builds")
    epoch, rest = divmod(int(saved.optimizer.iterations), recipe.steps)
    if rest:
        raise BadInput(f"{folder.last} was trained with other than {recipe.steps} steps per epoch")
    return saved, epoch


def load(folder: RunFolder) -> keras.Model:
    """Load network and optimiser after the last finished epoch.

    Raises:
        BadModel: the file is damaged.
    """
    try:
        return keras.models.load_model(folder.last)
    except (ValueError, TypeError, OSError, KeyError) as error:
        raise BadModel(f"{folder.last} cannot be read: {error}") from error


def compile_network(recipe: Recipe) -> keras.Model:
    """Build the recipe's network for pictures of any size, with its loss and optimiser."""
    network = build(recipe.spec, any_size=True)
    network.compile(
        optimizer=make_optimizer(recipe),
        loss=SegmentationLoss(recipe.class_weights, recipe.dice),
        jit_compile=False,  # XLA's depthwise gradients are ten times slower on CPUs
    )
    return network


def make_optimizer(recipe: Recipe) -> Any:
    """Make the recipe's optimiser with its learning-rate schedule."""
    rate = learning_rate(recipe)
    if recipe.optimizer == "adamw":
        return keras.optimizers.AdamW(rate, weight_decay=recipe.weight_decay)
    return keras.optimizers.Adam(rate)


def learning_rate(recipe: Recipe) -> Any:
    """The recipe's constant rate, or a warm-up to it followed by half a cosine down to zero."""
    if recipe.schedule == "constant":
        return recipe.learning_rate
    falling = max(recipe.total_steps - recipe.warmup, 1)
    if not recipe.warmup:
        return keras.optimizers.schedules.CosineDecay(recipe.learning_rate, falling)
    return keras.optimizers.schedules.CosineDecay(
        0.0, falling, warmup_target=recipe.learning_rate, warmup_steps=recipe.warmup
    )
