"""A recipe's network with its loss and optimiser, new or as a run left it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from quadfollow_core.errors import BadInput, BadModel
from quadfollow_training.exported import is_exported
from quadfollow_training.fcn import build
from quadfollow_training.losses import SegmentationLoss
from quadfollow_training.recipes import Recipe
from quadfollow_training.rundir import RunFolder
from quadfollow_training.unfolding import unfold


def start(recipe: Recipe, folder: RunFolder, init: Path | None = None) -> tuple[keras.Model, int]:
    """Build the network, or load the one to go on with; return it and the number of finished epochs.

    Args:
        recipe: what to build.
        folder: the run's; what was saved there goes before all else.
        init: a ``.keras`` network or exported model whose weights a new run begins with.

    Raises:
        BadModel: what lies in the run's folder is not this recipe's network.
        BadInput: it was trained with another number of steps per epoch.
    """
    network = compile_network(recipe)
    if not folder.last.exists():
        if init is not None:
            begin_with(unfold(init) if is_exported(init) else load(init), init, network)
        return network, 0
    saved = _checked(load(folder.last), folder.last, network, recipe)
    epoch, rest = divmod(int(saved.optimizer.iterations), recipe.steps)
    if rest:
        raise BadInput(f"{folder.last} was trained with other than {recipe.steps} steps per epoch")
    return saved, epoch


def load(path: Path) -> keras.Model:
    """Load a saved network, with its optimiser where it was saved too.

    Raises:
        BadModel: the file is damaged.
    """
    try:
        return keras.models.load_model(path)
    except (ValueError, TypeError, OSError, KeyError) as error:
        raise BadModel(f"{path} cannot be read: {error}") from error


def begin_with(saved: keras.Model, path: Path, network: keras.Model) -> None:
    """Give a network the weights of a saved one, so that it answers the same.

    Where a convolution is separable in the saved one and regular in the other, its kernels are multiplied out.

    Raises:
        BadModel: the saved one has other layers, or layers of other widths.
    """
    try:
        for old, new in zip(saved.layers, network.layers, strict=True):
            if old.name != new.name:
                raise ValueError(f"{old.name} stands where {new.name} should")
            new.set_weights(_as_kind_of(new, old))
    except ValueError as error:
        raise BadModel(
            f"{path} cannot be begun with: {error}; take a network of the same layers and widths, such as one trained "
            "by this recipe or by the one that comes before it"
        ) from error


def _as_kind_of(new: Any, old: Any) -> list[NDArray[np.float32]]:
    """A layer's weights; those of a separable convolution multiplied out where ``new`` is a regular one."""
    kept: list[NDArray[np.float32]] = old.get_weights()
    if isinstance(old, layers.SeparableConv2D) and isinstance(new, layers.Conv2D):
        depthwise, pointwise, *bias = kept
        return [depthwise * pointwise, *bias]
    return kept


def _checked(saved: keras.Model, path: Path, network: keras.Model, recipe: Recipe) -> keras.Model:
    if [weight.shape for weight in saved.weights] != [weight.shape for weight in network.weights]:
        raise BadModel(f"{path} is another network than recipe {recipe.name} builds")
    return saved


def compile_network(recipe: Recipe) -> keras.Model:
    """Build the recipe's network for pictures of any size, with its loss and optimiser."""
    on_jax = keras.backend.backend() == "jax"
    network = build(recipe.spec, any_size=True, shifted=on_jax)
    network.compile(
        optimizer=make_optimizer(recipe),
        loss=SegmentationLoss(recipe.class_weights, recipe.dice),
        jit_compile=on_jax,  # TensorFlow's XLA is ten times slower in depthwise gradients on CPUs
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
    falling = recipe.scheduled_steps - recipe.warmup
    if not recipe.warmup:
        return keras.optimizers.schedules.CosineDecay(recipe.learning_rate, falling)
    return keras.optimizers.schedules.CosineDecay(
        0.0, falling, warmup_target=recipe.learning_rate, warmup_steps=recipe.warmup
    )
