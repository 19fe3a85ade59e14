"""Recipes: everything that decides what a training run does, in one frozen value each."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from quadfollow_core.errors import BadInput, NotFound
from quadfollow_training.augment import STEPS
from quadfollow_training.batches import Shares
from quadfollow_training.fcn import Spec, check_size

OFFICIAL = ("train", "validation")
REAL = (*OFFICIAL, "train_extra")
HOLD_OUT = ("0_run6", "8_run5", "a_3_run2")
"""Flights never trained on: far targets, a close pursuit, far targets of another recorder; each with empty frames."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a run does; the defaults are the seed's. Sizes are pixels, ``warmup`` is steps, ``workers`` threads."""

    name: str = "seed"
    spec: Spec = field(default_factory=Spec)
    folders: tuple[str, ...] | None = OFFICIAL
    hold_out: tuple[str, ...] = HOLD_OUT
    crop: int | None = None
    shares: Shares = field(default_factory=Shares)
    folder_shares: dict[str, float] = field(default_factory=dict)
    augmentations: tuple[str, ...] = ()
    class_weights: tuple[float, float, float] = (1.0, 1.0, 1.0)
    dice: float = 0.0
    optimizer: Literal["adam", "adamw"] = "adam"
    weight_decay: float = 0.0
    learning_rate: float = 0.005
    schedule: Literal["constant", "cosine"] = "constant"
    warmup: int = 0
    batch: int = 48
    epochs: int = 20
    steps: int = 200
    validation_steps: int = 50
    workers: int = 4
    score_every: int = 2
    seed: int = 1

    def __post_init__(self) -> None:
        for name in ("batch", "epochs", "steps", "workers", "score_every"):
            if getattr(self, name) < 1:
                raise BadInput(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.learning_rate <= 0 or self.warmup < 0 or self.validation_steps < 0:
            raise BadInput("learning_rate must be positive, warmup and validation_steps not negative")
        unknown = sorted(set(self.augmentations) - STEPS.keys())
        if unknown:
            raise BadInput(f"no augmentation named {', '.join(unknown)}: there are {', '.join(sorted(STEPS))}")
        if self.crop is not None:
            check_size((self.crop, self.crop), self.spec.stride)

    @property
    def total_steps(self) -> int:
        """Optimiser steps of the whole run."""
        return self.epochs * self.steps

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)


SEED = Recipe()

FOLLOW_256 = Recipe(
    name="follow-256",
    spec=Spec(
        input_size=(256, 256),
        stem=16,
        encoders=(32, 64, 96, 128, 192),
        bottleneck=192,
        decoders=(96, 64, 48, 32, 16),
        norm="before-relu",
    ),
    folders=REAL,
    crop=128,
    shares=Shares(target=0.45, person=0.25, anywhere=0.3),
    augmentations=("flip", "scale", "brightness", "contrast", "tint", "jpeg"),
    class_weights=(1.0, 2.0, 4.0),
    dice=1.0,
    optimizer="adamw",
    weight_decay=1e-4,
    learning_rate=4e-3,
    schedule="cosine",
    warmup=200,
    batch=32,
    epochs=32,
    validation_steps=10,
    score_every=4,
)

REFINE_256 = replace(
    FOLLOW_256,
    name="refine-256",
    spec=replace(FOLLOW_256.spec, encoders=(32, 80, 128, 192, 256), bottleneck=256, decoders=(160, 96, 64, 32, 16)),
    folders=(*REAL, "city"),
    folder_shares={"city": 0.25},
    learning_rate=1.5e-3,
    warmup=100,
    epochs=16,
)
"""Goes on from ``follow-256`` (``--init``) with city frames, its deep layers grown wider."""

OWN_256 = replace(
    REFINE_256,
    name="own-256",
    folders=None,
    folder_shares={},
    learning_rate=2e-3,
    epochs=6,
)
"""Teaches a network that is there (``--init``) another target, from whatever sets it is given."""

RECIPES = {recipe.name: recipe for recipe in (SEED, FOLLOW_256, REFINE_256, OWN_256)}


def find_recipe(name: str) -> Recipe:
    """Look a recipe up by its name.

    Raises:
        NotFound: there is none of that name.
    """
    if name not in RECIPES:
        raise NotFound(f"no recipe named {name!r}: there are {', '.join(RECIPES)}")
    return RECIPES[name]
