"""How fast one core draws and flies the embedded city: colours, depth and classes at 256x256, by preset.

``python benchmarks/city.py``: this process binds itself to one core and takes the presets in turns; in each turn a city
is observed while its quadrotor follows the target, with the physics of the time in between counted too, or not.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
from measuring import results
from measuring.summaries import spread
from measuring.turns import in_turns

from quadfollow_sim.city.city import City
from quadfollow_sim.city.dataset import ONE_THREAD
from quadfollow_sim.city.presets import PRESETS
from quadfollow_sim.vehicle import Follow

NAME = "city"
STEP = 0.05
"""Seconds of the city's time between two pictures."""


def draw(city: City, frames: int, *, fly: bool) -> float:
    """Observe so many frames, flying on between them or not; frames per second of processor time."""
    view = city.observe()
    began = time.process_time()
    for _ in range(frames):
        if fly:
            city.command(Follow((float(view.target[0]), float(view.target[1]), float(view.target[2]))))
            city.step(STEP)
        view = city.observe()
    return frames / (time.process_time() - began)


def table(result: dict[str, Any]) -> str:
    """Lay out the figures."""
    head = ["preset", "people", "pictures, frames/s of one core", "pictures and flight, frames/s of one core"]
    rows = [
        [preset, str(one["people"]), results.ranged(one["pictures"], 1), results.ranged(one["flight"], 1)]
        for preset, one in result["figures"].items()
    ]
    return results.table(head, rows)


@click.command()
@click.option("--rounds", default=5, show_default=True)
@click.option("--frames", default=100, show_default=True, help="Frames of one turn.")
@click.option("--seed", default=0, show_default=True, help="Of the cities.")
@results.out_option
def main(rounds: int, frames: int, seed: int, out: Path) -> None:
    """Measure every preset."""
    os.environ.update(ONE_THREAD)
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

    def measure() -> dict[str, Any]:
        cities = {preset: City(preset, seed=seed) for preset in PRESETS}
        ways: dict[str, Callable[[], float]] = {}
        for preset, city in cities.items():
            ways[f"{preset} still"] = partial(draw, city, frames, fly=False)
            ways[f"{preset} flown"] = partial(draw, city, frames, fly=True)
        rates = in_turns(ways, rounds)
        return {
            preset: {
                "people": 1 + len(city.observe().people),
                "pictures": spread(rates[f"{preset} still"]),
                "flight": spread(rates[f"{preset} flown"]),
            }
            for preset, city in cities.items()
        }

    options = {"rounds": rounds, "frames": frames, "seed": seed}
    click.echo(table(results.run(NAME, out, options, measure)))


if __name__ == "__main__":
    main()
