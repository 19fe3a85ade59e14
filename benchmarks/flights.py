"""How well the drone follows in the embedded city: the network beside a perfect mask, the old rule and two controls.

``python benchmarks/flights.py [--seconds 60] [--out out/flights] [--page docs/flights.md]``: every arm flies the same
seeds in lockstep, so that a slow machine changes nothing. An arm whose report is there already is not flown again;
remove the folder to start over. The page holds the table, with 95 % intervals by resampling over flights; name it in
``mkdocs.yml`` to have it on the site. All flights take hours of two cores; ``--flights`` makes fewer.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import click

from quadfollow_core.files import write_whole
from quadfollow_core.shipped import DEFAULT_MODEL, find_model
from quadfollow_server.model_file import read_file
from quadfollow_sim.eyes import Arm
from quadfollow_sim.mission import MissionPlan, carry_out_mission
from quadfollow_sim.run_folder import REPORT
from quadfollow_sim.server_process import ServerProcess

FLIGHTS = {"street": 20, "plaza": 5, "crowd": 5, "dusk": 5, "wind": 5}
CEILING = "perfect mask"


@dataclass(frozen=True, slots=True)
class Way:
    """One way to see and to follow: ``arm`` is that of ``fly --eyes``, None for a server with the network."""

    name: str
    arm: Arm | None = None
    tracker: str = "kalman"
    flights: int | None = None
    """At most so many per preset, and on ``street`` alone; None for all."""


WAYS = (
    Way(CEILING, arm="truth"),
    Way("network"),
    Way("network, old rule (centroid)", tracker="centroid"),
    Way("control: mirrored mask", arm="mirrored", flights=3),
    Way("control: blind", arm="blind", flights=3),
)


@contextlib.contextmanager
def server_of(way: Way, out: Path, model: str | None) -> Iterator[str | None]:
    """The address of a server for the ways that need one."""
    if way.arm is not None:
        yield None
        return
    with ServerProcess(out / f"server-{way.tracker}.log", tracker=way.tracker, model=model) as server:
        yield server.address


def fly(
    way: Way, preset: str, flights: int, seconds: float, out: Path, address: str | None, model: Path
) -> dict[str, Any]:
    """Fly one way on one preset, or read what was flown in just this way, by this very model."""
    name = f"{way.name.replace(' ', '-').replace(':', '').replace(',', '')}-{preset}-{flights}x{seconds:g}s"
    folder = out / (name if way.arm else f"{name}-{model.stem}-{read_file(model).version}")
    if not (folder / REPORT).exists():
        plan = MissionPlan(
            preset=preset,
            flights=flights,
            seconds=seconds,
            eyes=way.arm or "network",
            tracker=None if way.arm is None else way.tracker,
            out=folder,
            video=False,
            **({} if address is None else {"server": address}),
        )
        if carry_out_mission(plan)["interrupted"]:
            (folder / REPORT).unlink()
            raise click.Abort
    report: dict[str, Any] = json.loads((folder / REPORT).read_text())
    return report


def row(name: str, report: dict[str, Any], ceiling: dict[str, Any] | None) -> list[str]:
    """One line of the table."""
    flights, overall = report["flights"], report["overall"]
    best = {flight["seed"]: flight["in_view"] for flight in ceiling["flights"]} if ceiling else {}
    share = [flight["in_view"] / best[flight["seed"]] for flight in flights if best.get(flight["seed"])]
    return [
        name,
        str(len(flights)),
        percent(overall["in_view"]),
        f"{100 * mean(share):.1f} %" if share else "-",
        number(overall["position_error_m"]),
        str(sum(flight["losses"] for flight in flights)),
        str(overall["flights_with_long_loss"]),
        str(overall["not_recovered"]),
        str(sum(flight["collisions"] for flight in flights)),
    ]


def percent(value: dict[str, Any]) -> str:
    """A share with its interval."""
    if value["mean"] is None:
        return "-"
    low, high = value["interval"] or (value["mean"], value["mean"])
    return f"{100 * value['mean']:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


def number(value: dict[str, Any]) -> str:
    """A mean with its interval."""
    if value["mean"] is None:
        return "-"
    low, high = value["interval"] or (value["mean"], value["mean"])
    return f"{value['mean']:.3f} [{low:.3f}, {high:.3f}]"


HEAD = (
    "way",
    "flights",
    "in view after first sight",
    "of the perfect mask's",
    "position error, m",
    "losses over 1 s",
    "flights with one over 3 s",
    "not recovered",
    "touches",
)


def table(preset: str, rows: list[list[str]]) -> str:
    """A preset's part of the page."""
    lines = [f"## {preset}", "", f"| {' | '.join(HEAD)} |", "|" + "---|" * len(HEAD)]
    return "\n".join([*lines, *(f"| {' | '.join(cells)} |" for cells in rows)]) + "\n"


def page(seconds: float, model: Path, tables: list[str]) -> str:
    """The whole page."""
    start = f"""# Flights in the embedded city

Made by `python benchmarks/flights.py`: flights of {seconds:g} s in lockstep at 20 pictures a second, the same seeds
for every way to see; the network is `{model.stem}`, version `{read_file(model).version}`. Means over flights, with 95 %
intervals by resampling over flights.
*In view* counts pictures with at least 20 pixels of the target; the error is the horizontal distance from the track to
the target's true place while it is followed or predicted, the median of each flight.
"""
    return "\n".join([start, *tables])


@click.command()
@click.option("--seconds", default=60.0, show_default=True, help="Length of a flight.")
@click.option("--model", help="Model file or name of a shipped model. Default: the shipped default.")
@click.option("--flights", "most", default=20, show_default=True, help="At most so many for each way and preset.")
@click.option("--preset", "presets", multiple=True, type=click.Choice(list(FLIGHTS)), help="Default: all.")
@click.option("--way", "names", multiple=True, type=click.Choice([way.name for way in WAYS]), help="Default: all.")
@click.option("--out", default=Path("out/flights"), type=click.Path(path_type=Path), help="Where reports are kept.")
@click.option("--page", "to", type=click.Path(path_type=Path), help="Write the page there, besides printing it.")
def main(
    seconds: float,
    model: str | None,
    most: int,
    presets: tuple[str, ...],
    names: tuple[str, ...],
    out: Path,
    to: Path | None,
) -> None:
    """Fly all ways and lay out what came of it."""
    path = find_model(model or DEFAULT_MODEL)
    rows: dict[str, list[list[str]]] = {}
    ceilings: dict[str, dict[str, Any]] = {}
    for way in WAYS:
        if names and way.name not in names:
            continue
        with server_of(way, out, model) as address:
            for preset in presets or FLIGHTS:
                if way.flights is not None and preset != "street":
                    continue
                flights = min(FLIGHTS[preset], way.flights or FLIGHTS[preset], most)
                report = fly(way, preset, flights, seconds, out, address, path)
                if way.name == CEILING:
                    ceilings[preset] = report
                rows.setdefault(preset, []).append(row(way.name, report, ceilings.get(preset)))
    text = page(seconds, path, [table(preset, lines) for preset, lines in rows.items()])
    click.echo(text)
    if to is not None:
        write_whole(to, text)


if __name__ == "__main__":
    main()
