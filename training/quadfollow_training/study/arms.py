"""The arms of the study: one change each from a network and a recipe that all share, grouped by what they ask."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from quadfollow_core.errors import NotFound
from quadfollow_training.batches import Shares
from quadfollow_training.fcn import Spec
from quadfollow_training.recipes import OFFICIAL, SEED, Recipe
from quadfollow_training.trial import steps_for

NARROW = replace(Spec().with_filters((8, 16, 32, 64, 128)), input_size=(256, 256))
"""The seed's network with half of its filters, which leaves time for more arms."""

BASE = replace(
    SEED,
    name="base",
    spec=NARROW,
    folders=OFFICIAL,
    crop=64,
    shares=Shares(target=0.5, person=0.2, anywhere=0.3),
    augmentations=("flip",),
    class_weights=(1.0, 2.0, 4.0),
    dice=1.0,
    schedule="cosine",
    workers=1,
)
"""How the networks of the study are trained: the seed's rate and batch, with what lets few frames suffice."""

SHRUNK = replace(BASE, spec=replace(NARROW, input_size=(160, 160)), zoom=(160 / 256, 160 / 256))
"""The same on frames shrunk to 160 pixels, cut after the shrinking."""

WHOLE = replace(BASE, spec=replace(NARROW, input_size=(160, 160)), crop=None)
"""The same on whole frames, as the seed has them."""

PLAIN = replace(SEED, name="seed-recipe", spec=WHOLE.spec, folders=OFFICIAL, workers=1)
"""The seed's own recipe."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One network and recipe to measure.

    ``label`` is what the tables call it; ``passes`` how many budgets it gets, scored after each; ``decides`` marks
    those worth three seeds.
    """

    name: str
    label: str
    recipe: Recipe
    decides: bool = False
    classifier: bool = False
    passes: int = 1

    def at(self, pixels: int, seed: int) -> Recipe:
        """The recipe for so many pixels a pass, with this seed."""
        steps = steps_for(self.recipe, pixels)
        return replace(self.recipe, name=self.name, seed=seed, steps=steps, epochs=self.passes)


def _net(name: str, label: str, *, decides: bool = False, **changes: Any) -> Arm:
    return Arm(name, label, replace(BASE, spec=replace(NARROW, **changes)), decides)


def _depth(count: int, *, decides: bool = False) -> Arm:
    spec = NARROW.with_filters(NARROW.encoders[:count])
    return Arm(f"depth-{count}", f"{count} encoders", replace(BASE, spec=spec), decides)


def _how(name: str, label: str, recipe: Recipe = BASE, *, passes: int = 1, **changes: Any) -> Arm:
    return Arm(name, label, replace(recipe, **changes), passes=passes)


ARMS: tuple[Arm, ...] = (
    Arm("base", "5 encoders, skips, separable, bilinear, 256x256; rate 0.005, batch 48, cosine", BASE, decides=True),
    _net("no-skips", "no skips", decides=True, skips=False),
    _depth(3, decides=True),
    _net("stem", "a first block at full resolution", decides=True, stem=8),
    _net("norm-none", "no batch normalisation", norm="none"),
    Arm("classifier", "the same encoders, a dense head", WHOLE, classifier=True, passes=4),
    _how("rate-0.001", "rate 0.001", learning_rate=0.001),
    _how("rate-0.02", "rate 0.02", learning_rate=0.02),
    Arm("input-160", "160x160 input", SHRUNK, decides=True),
    _net("regular", "regular convolutions", decides=True, separable=False),
    _how("batch-16", "batch 16", batch=16),
    _how("batch-96", "batch 96", batch=96),
    _net("norm-before", "batch normalisation before ReLU", norm="before-relu"),
    _net("transposed", "transposed convolution", upsampling="transposed"),
    _depth(2),
    _depth(4),
    _net("repeats", "two convolutions per encoder", repeats=2),
    _how("constant", "constant rate", schedule="constant"),
    _how("anywhere", "crops from anywhere, not around people", shares=Shares()),
    _how("no-dice", "classes weighted, no dice", dice=0.0),
    _how("unweighted", "classes weigh as their pixels do, no dice", class_weights=(1.0, 1.0, 1.0), dice=0.0),
    _how("whole", "whole frames at 160x160", WHOLE),
    Arm("seed-recipe", "the seed's recipe: whole frames, no weights, no dice, constant rate", PLAIN),
    _how("longer", "four times the budget, constant rate", passes=4, schedule="constant"),
    _how("seed-longer", "the seed's recipe, four times the budget", PLAIN, passes=4),
)
"""In the order they are measured in: what decides first."""

SEEDS = 3


def find_arms(names: tuple[str, ...] = (), hold_out: tuple[str, ...] = ()) -> tuple[Arm, ...]:
    """The arms of these names, or all of them; they hold out these runs, or those of their recipes.

    Raises:
        NotFound: there is none of that name.
    """
    known = {arm.name: arm for arm in ARMS}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise NotFound(f"no arm named {', '.join(unknown)}: there are {', '.join(known)}")
    chosen = tuple(known[name] for name in names) or ARMS
    return tuple(replace(arm, recipe=replace(arm.recipe, hold_out=hold_out or arm.recipe.hold_out)) for arm in chosen)


def plan(arms: tuple[Arm, ...], seeds: int | None) -> Iterator[tuple[Arm, int]]:
    """Every arm with its seeds: all arms by seed 1 first, then the further seeds.

    Args:
        arms: which.
        seeds: how many seeds each gets; None for ``SEEDS`` where an arm decides and one elsewhere.
    """
    wanted = {arm.name: seeds or (SEEDS if arm.decides else 1) for arm in arms}
    for seed in range(1, max(wanted.values(), default=0) + 1):
        yield from ((arm, seed) for arm in arms if seed <= wanted[arm.name])
