"""The city's presets: how full, how bright and how windy it is, and where the target walks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from quadfollow_core.errors import BadInput

Stage = Literal["plaza", "street"]


@dataclass(frozen=True, slots=True)
class Preset:
    """What distinguishes one kind of city from another; ranges are drawn from evenly."""

    name: str
    stage: Stage
    """Where the target's path and most people are."""
    people: tuple[int, int]
    """Number of people, the target included."""
    decoys: tuple[int, int]
    """How many of them are dressed nearly like the target."""
    trees: tuple[int, int]
    sun: tuple[float, float] = (0.45, 0.72)
    """Strength of the direct light, 0 to 1."""
    sky: tuple[float, float] = (0.42, 0.58)
    """Strength of the light from everywhere, 0 to 1."""
    sun_height: tuple[float, float] = (0.6, 1.2)
    """Radians above the horizon."""
    wind: tuple[float, float] = (0.0, 1.5)
    """Mean wind, m/s."""
    gusts: float = 0.3
    """Standard deviation of the wind's changes over its mean."""
    pace: tuple[float, float] = (1.1, 1.5)
    """The target's walking speed, m/s."""

    def __post_init__(self) -> None:
        if not 1 <= self.people[0] <= self.people[1] <= 60:
            raise BadInput(f"a city has 1 to 60 people, got {self.people}")
        if self.decoys[1] >= self.people[0]:
            raise BadInput(f"more decoys ({self.decoys[1]}) than other people ({self.people[0] - 1})")


_ALL = (
    Preset("crowd", "plaza", (45, 60), (3, 6), (20, 30)),
    Preset("dusk", "street", (12, 24), (1, 3), (26, 40), (0.25, 0.42), (0.26, 0.38), (0.15, 0.4)),
    Preset("plaza", "plaza", (12, 24), (1, 3), (26, 36)),
    Preset("street", "street", (12, 20), (1, 3), (30, 44)),
    Preset("wind", "street", (12, 20), (1, 3), (26, 40), wind=(5.0, 8.0)),
    Preset("decoys", "street", (14, 20), (7, 10), (30, 44)),
)
"""In the order that labelled sets draw their seeds by: a new one goes last."""

PRESETS = {preset.name: preset for preset in _ALL}


def find_preset(name: str) -> Preset:
    """Return a preset by name.

    Raises:
        BadInput: there is none of that name.
    """
    if name not in PRESETS:
        raise BadInput(f"no preset {name!r}: choose from {', '.join(PRESETS)}")
    return PRESETS[name]
