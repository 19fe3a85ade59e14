"""Everything one seed decides: plan, light and people of a city, and their drawing order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator, SeedSequence

from quadfollow_core.errors import BadInput
from quadfollow_sim.city.mesh import Floats
from quadfollow_sim.city.outfits import Look, Outfit, draw_decoy, draw_outfit, draw_target, find_look
from quadfollow_sim.city.plan import Plan, draw_plan
from quadfollow_sim.city.presets import Preset, find_preset
from quadfollow_sim.city.walkers import Crowd, draw_crowd


@dataclass(frozen=True, slots=True)
class Light:
    """Sun and sky: the sun's direction points from it to the ground; strengths are red, green and blue."""

    direction: Floats
    sun: Floats
    sky: Floats


@dataclass(frozen=True, slots=True)
class Setting:
    """A city before anything is built: independent of MuJoCo, the same for the same preset and seed."""

    preset: Preset
    seed: int
    plan: Plan
    light: Light
    outfits: tuple[Outfit, ...]
    """Person 0 is the target, then come the decoys."""
    crowd: Crowd

    def generator(self, purpose: int) -> Generator:
        """Return a random generator of its own for each purpose, so that one's use does not disturb another."""
        return np.random.default_rng(SeedSequence([self.seed, 1000 + purpose]))


def draw_setting(preset: str | Preset, seed: int, outfit: str = "red") -> Setting:
    """Draw a city for a preset's name (or the preset), a seed and the name of the target's outfit.

    Raises:
        BadInput: no such preset or outfit, or nobody can walk about in the city of this seed.
    """
    chosen = find_preset(preset) if isinstance(preset, str) else preset
    plan_rng, people_rng, light_rng = (np.random.default_rng(part) for part in SeedSequence(seed).spawn(3))
    plan = draw_plan(chosen, plan_rng)
    outfits = _draw_outfits(chosen, people_rng, find_look(outfit))
    try:
        crowd = draw_crowd(plan, outfits, chosen.pace, people_rng)
    except BadInput as error:
        raise BadInput(f"the {chosen.name} of seed {seed} is no city to walk in: {error}; take another seed") from error
    return Setting(chosen, seed, plan, _draw_light(chosen, light_rng), outfits, crowd)


def _draw_outfits(preset: Preset, rng: Generator, look: Look) -> tuple[Outfit, ...]:
    count = int(rng.integers(preset.people[0], preset.people[1] + 1))
    decoys = int(rng.integers(preset.decoys[0], preset.decoys[1] + 1))
    others = [draw_outfit(rng) for _ in range(count - 1 - decoys)]
    return (draw_target(rng, look), *(draw_decoy(rng, look) for _ in range(decoys)), *others)


def _draw_light(preset: Preset, rng: Generator) -> Light:
    height, around = float(rng.uniform(*preset.sun_height)), float(rng.uniform(0, 2 * np.pi))
    toward = -np.array([np.cos(height) * np.cos(around), np.cos(height) * np.sin(around), np.sin(height)])
    warm = float(rng.uniform(-0.06, 0.06)) + max(0.0, 0.5 - height) * 0.2
    tint = np.array([1 + warm, 1.0, 1 - warm])
    return Light(toward, rng.uniform(*preset.sun) * tint, rng.uniform(*preset.sky) * (2 - tint))
