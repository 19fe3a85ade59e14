"""What is searched: the numbers of a recipe that have no right value but the one that works."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from quadfollow_training.recipes import Recipe

if TYPE_CHECKING:
    from optuna.trial import Trial

RATE = (5e-4, 3e-2)
BATCHES = (16, 24, 32, 48, 64, 96, 128)
DICE = (0.0, 2.0)
PERSON_WEIGHT = (1.0, 4.0)
TARGET_WEIGHT = (1.0, 16.0)
TARGET_SHARE = (0.1, 0.8)

RANGES = {
    "learning_rate": f"{RATE[0]:g} to {RATE[1]:g}, logarithmic",
    "batch": ", ".join(map(str, BATCHES)),
    "dice": f"{DICE[0]:g} to {DICE[1]:g}",
    "person_weight": f"{PERSON_WEIGHT[0]:g} to {PERSON_WEIGHT[1]:g}, logarithmic",
    "target_weight": f"{TARGET_WEIGHT[0]:g} to {TARGET_WEIGHT[1]:g}, logarithmic",
    "target_share": f"{TARGET_SHARE[0]:g} to {TARGET_SHARE[1]:g}",
}
"""Each number's range, in words."""

SEARCHED = ("learning_rate", "batch", "dice", "class_weights")
"""What of a recipe the search sets, besides the share of targets."""


def suggest(trial: Trial, recipe: Recipe) -> Recipe:
    """The recipe with the numbers that the sampler wants tried."""
    numbers = {
        "learning_rate": trial.suggest_float("learning_rate", *RATE, log=True),
        "batch": trial.suggest_categorical("batch", BATCHES),
        "dice": trial.suggest_float("dice", *DICE),
        "person_weight": trial.suggest_float("person_weight", *PERSON_WEIGHT, log=True),
        "target_weight": trial.suggest_float("target_weight", *TARGET_WEIGHT, log=True),
        "target_share": trial.suggest_float("target_share", *TARGET_SHARE),
    }
    return with_numbers(recipe, numbers)


def with_numbers(recipe: Recipe, numbers: dict[str, Any]) -> Recipe:
    """The recipe with these numbers; the samples that need not show a target are shared as before."""
    shares, share = recipe.shares, numbers["target_share"]
    factor = (1 - share) / (shares.person + shares.anywhere)
    rest = {name: getattr(shares, name) * factor for name in ("person", "anywhere")}
    return replace(
        recipe,
        learning_rate=numbers["learning_rate"],
        batch=numbers["batch"],
        dice=numbers["dice"],
        class_weights=(1.0, numbers["person_weight"], numbers["target_weight"]),
        shares=replace(shares, target=share, **rest),
    )


def numbers_of(recipe: Recipe) -> dict[str, Any]:
    """The numbers a recipe has."""
    shares = recipe.shares
    return {
        "learning_rate": recipe.learning_rate,
        "batch": recipe.batch,
        "dice": recipe.dice,
        "person_weight": recipe.class_weights[1] / recipe.class_weights[0],
        "target_weight": recipe.class_weights[2] / recipe.class_weights[0],
        "target_share": shares.target / (shares.target + shares.person + shares.anywhere),
    }


def first_try(recipe: Recipe) -> dict[str, Any]:
    """The recipe's own numbers, brought into the ranges: what a search begins with."""
    numbers = numbers_of(recipe)
    ranges = {
        "learning_rate": RATE,
        "dice": DICE,
        "person_weight": PERSON_WEIGHT,
        "target_weight": TARGET_WEIGHT,
        "target_share": TARGET_SHARE,
    }
    within = {name: min(max(numbers[name], low), high) for name, (low, high) in ranges.items()}
    return within | {"batch": min(BATCHES, key=lambda size: abs(size - recipe.batch))}
