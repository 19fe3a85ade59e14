"""Recipes: everything that decides what a training run does, in one frozen value each."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, get_args

from quadfollow_core.errors import BadInput, NotFound
from quadfollow_training.augment import STEPS
from quadfollow_training.batches import ROUNDING, Shares
from quadfollow_training.fcn import Spec, check_size

OFFICIAL = ("train", "validation")
REAL = (*OFFICIAL, "train_extra")
Optimizer = Literal["adam", "adamw"]
Schedule = Literal["constant", "cosine"]
HOLD_OUT = ("0_run6", "8_run5", "a_3_run2")
"""Flights never trained on: far targets, a close pursuit, far targets of another recorder; each with empty frames."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a run does; the defaults are the seed's. Sizes are pixels, ``warmup`` is steps, ``workers`` threads.

    Crops are cut from frames enlarged by a factor from ``zoom``. The cosine falls over ``schedule_epochs``, by default
    all of them; a run that ends before leaves the rest to a recipe that goes on with its network.
    """

    name: str = "seed"
    spec: Spec = field(default_factory=Spec)
    folders: tuple[str, ...] | None = OFFICIAL
    hold_out: tuple[str, ...] = HOLD_OUT
    crop: int | None = None
    zoom: tuple[float, float] = (1.0, 1.0)
    shares: Shares = field(default_factory=Shares)
    folder_shares: dict[str, float] = field(default_factory=dict)
    augmentations: tuple[str, ...] = ()
    pasted: float = 0.0
    class_weights: tuple[float, float, float] = (1.0, 1.0, 1.0)
    dice: float = 0.0
    optimizer: Optimizer = "adam"
    weight_decay: float = 0.0
    learning_rate: float = 0.005
    schedule: Schedule = "constant"
    schedule_epochs: int | None = None
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
        if self.learning_rate <= 0 or min(self.warmup, self.validation_steps, self.dice, self.weight_decay) < 0:
            raise BadInput("learning_rate must be positive; warmup, validation_steps, dice, weight_decay not negative")
        for name, allowed in (("optimizer", Optimizer), ("schedule", Schedule)):
            if getattr(self, name) not in get_args(allowed):
                raise BadInput(f"{name} is one of {', '.join(get_args(allowed))}, got {getattr(self, name)!r}")
        if len(self.class_weights) != 3 or min(self.class_weights) <= 0:
            raise BadInput(f"class_weights are three numbers above 0, got {self.class_weights}")
        if self.optimizer == "adam" and self.weight_decay:
            raise BadInput(f"weight_decay {self.weight_decay:g} is for adamw: the optimizer adam has none")
        self._check_samples()
        self._check_schedule()

    def _check_samples(self) -> None:
        unknown = sorted(set(self.augmentations) - STEPS.keys())
        if unknown:
            raise BadInput(f"no augmentation named {', '.join(unknown)}: there are {', '.join(sorted(STEPS))}")
        if not 0 < self.zoom[0] <= self.zoom[1]:
            raise BadInput(f"zoom is a range of factors above 0, got {self.zoom}")
        if any(share < 0 for share in self.folder_shares.values()) or sum(self.folder_shares.values()) > 1 + ROUNDING:
            raise BadInput(f"folder_shares are not negative and sum to 1 at most, got {self.folder_shares}")
        if not 0 <= self.pasted <= 1:
            raise BadInput(f"pasted is a share from 0 to 1, got {self.pasted}")
        if self.crop is not None:
            check_size((self.crop, self.crop), self.spec.stride)

    def _check_schedule(self) -> None:
        if self.schedule == "constant" and (self.warmup or self.schedule_epochs):
            raise BadInput("warmup and schedule_epochs are for the schedule cosine: a constant rate has neither")
        if self.schedule_epochs is not None and self.schedule_epochs < self.epochs:
            raise BadInput(f"a schedule of {self.schedule_epochs} epochs ends before the run's {self.epochs}")
        if self.schedule == "cosine" and self.warmup >= self.scheduled_steps:
            raise BadInput(
                f"a warm-up of {self.warmup} steps never ends in a schedule of {self.scheduled_steps}: shorten it, or "
                "train for longer"
            )

    @property
    def scheduled_steps(self) -> int:
        """Optimiser steps that the learning rate's schedule spans."""
        return (self.schedule_epochs or self.epochs) * self.steps

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)


SEED = Recipe()

CROPS_256 = Recipe(
    name="crops-256",
    spec=Spec(
        input_size=(256, 256),
        stem=24,
        encoders=(48, 96, 192, 288, 384),
        repeats=2,
        bottleneck=320,
        decoders=(192, 128, 96, 48, 24),
        norm="before-relu",
    ),
    folders=(*REAL, "city"),
    folder_shares={"city": 0.4},
    crop=128,
    zoom=(0.55, 1.4),
    shares=Shares(target=0.45, person=0.2, anywhere=0.35),
    augmentations=("flip", "brightness", "contrast", "tint", "saturation", "jpeg", "blur"),
    class_weights=(1.0, 2.0, 3.0),
    dice=1.0,
    optimizer="adamw",
    weight_decay=0.01,
    learning_rate=4e-3,
    schedule="cosine",
    schedule_epochs=8,
    warmup=400,
    batch=128,
    epochs=5,
    steps=560,
    validation_steps=0,
    workers=12,
    score_every=5,
)
"""Crops around targets and people, in large batches: for a GPU. ``follow-256`` goes on from here."""

FOLLOW_256 = replace(
    CROPS_256,
    name="follow-256",
    folder_shares={"city": 0.3},
    crop=160,
    zoom=(0.7, 1.35),
    augmentations=("flip", "brightness", "contrast", "jpeg"),
    class_weights=(1.0, 2.0, 5.0),
    weight_decay=1e-4,
    learning_rate=8e-4,
    schedule_epochs=None,
    warmup=40,
    batch=20,
    epochs=20,
    steps=140,
    workers=2,
)
"""Goes on with ``crops-256`` (``--init``) at a rate that falls to nothing: a CPU's hour or two."""

CROPS_160 = replace(
    CROPS_256,
    name="crops-160",
    spec=Spec(
        input_size=(160, 160),
        stem=16,
        encoders=(32, 64, 160, 224, 256),
        repeats=2,
        bottleneck=224,
        decoders=(128, 80, 48, 32, 16),
        norm="before-relu",
    ),
    crop=96,
    zoom=(0.36, 0.9),
)
"""The same for 160x160, which is 0.625 of the frames' own size, with fewer filters."""

FOLLOW_160 = replace(
    FOLLOW_256, name="follow-160", spec=CROPS_160.spec, crop=128, zoom=(0.45, 0.85), batch=32, epochs=15, steps=160
)
"""The same, begun with ``crops-160``."""

REGULAR_160 = replace(
    FOLLOW_160,
    name="regular-160",
    spec=replace(FOLLOW_160.spec, regular=("stem", "encoder1", "encoder1_2", "decoder5b")),
    pasted=0.3,
    epochs=26,
    steps=200,
    score_every=4,
)
"""Goes on with ``follow-160``, regular convolutions in place of separable ones where the resolution is high."""

HARD_256 = replace(
    FOLLOW_256,
    name="hard-256",
    shares=Shares(target=0.4, person=0.15, anywhere=0.3, mistake=0.15),
    learning_rate=4e-4,
    epochs=10,
    steps=120,
    score_every=5,
)
"""Goes on with ``follow-256`` (``--init``) and sees more of what that gets wrong (``--mistakes-of``)."""

DECOYS_256 = replace(
    FOLLOW_256,
    name="decoys-256",
    folders=(*REAL, "city", "decoys"),
    folder_shares={"city": 0.1, "decoys": 0.4},
    crop=128,
    shares=Shares(target=0.4, person=0.35, anywhere=0.25),
    class_weights=(1.0, 2.0, 4.0),
    learning_rate=6e-4,
    batch=24,
    epochs=18,
    steps=200,
    score_every=6,
)
"""Goes on with ``hard-256`` among people of the city who are dressed nearly like the target (the set ``decoys``)."""

DECOYS_256_2 = replace(
    DECOYS_256,
    name="decoys-256-2",
    folder_shares={"city": 0.1, "decoys": 0.3},
    crop=160,
    shares=Shares(target=0.4, person=0.3, anywhere=0.2, mistake=0.1),
    class_weights=(1.0, 3.0, 4.0),
    learning_rate=4e-4,
    batch=20,
    epochs=24,
    steps=140,
    seed=3,
)
"""Goes on with ``decoys-256``: more of real flights, larger crops, and the mistakes of ``hard-256``."""

DECOYS_256_3 = replace(
    DECOYS_256_2,
    name="decoys-256-3",
    shares=Shares(target=0.42, person=0.25, anywhere=0.25, mistake=0.08),
    augmentations=("flip", "brightness", "contrast", "tint", "saturation", "jpeg"),
    pasted=0.15,
    class_weights=(1.0, 2.0, 4.0),
    epochs=22,
    score_every=11,
    seed=7,
)
"""Goes on with the mean of both and sees that one's mistakes, in light of other colours."""

OWN_256 = replace(
    FOLLOW_256,
    name="own-256",
    folders=None,
    folder_shares={},
    crop=128,
    zoom=(0.6, 1.4),
    shares=Shares(target=0.45, person=0.25, anywhere=0.3),
    batch=32,
    epochs=4,
    steps=150,
    score_every=2,
)
"""Teaches a network that is there (``--init``) another target, from whatever sets it is given."""

_ALL = (
    SEED,
    *(CROPS_256, FOLLOW_256, HARD_256, DECOYS_256, DECOYS_256_2, DECOYS_256_3),
    *(CROPS_160, FOLLOW_160, REGULAR_160),
    OWN_256,
)
RECIPES = {recipe.name: recipe for recipe in _ALL}


def find_recipe(name: str) -> Recipe:
    """Look a recipe up by its name.

    Raises:
        NotFound: there is none of that name.
    """
    if name not in RECIPES:
        raise NotFound(f"no recipe named {name!r}: there are {', '.join(RECIPES)}")
    return RECIPES[name]
