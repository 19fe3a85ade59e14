"""What a recipe trains on: its samples, and an epoch's batches of them."""

from __future__ import annotations

from quadfollow_training.batches import Batches, Crops, Draw, Sampler, WholeFrames
from quadfollow_training.frames import Frames
from quadfollow_training.mistakes import Mistakes
from quadfollow_training.recipes import Recipe


def sampler(recipe: Recipe, frames: Frames, *, augment: bool, mistakes: Mistakes | None = None) -> Sampler:
    """Make what draws the recipe's samples: crops or whole frames, augmented or plain."""
    augmentations = recipe.augmentations if augment else ()
    how = Draw(recipe.shares, recipe.folder_shares, mistakes or {}, recipe.pasted if augment else 0.0)
    if recipe.crop is None:
        return WholeFrames(frames, recipe.spec.input_size, how, augmentations)
    return Crops(frames, recipe.crop, how, augmentations, recipe.zoom)


def batches(
    recipe: Recipe, source: Sampler, epoch: int, steps: int | None = None, kind: type[Batches] = Batches
) -> Batches:
    """The batches that are this epoch's: as many as the recipe's ``steps``, or so many."""
    return kind(
        source,
        batch=recipe.batch,
        steps=steps or recipe.steps,
        seed=recipe.seed,
        epoch=epoch,
        workers=recipe.workers,
    )
