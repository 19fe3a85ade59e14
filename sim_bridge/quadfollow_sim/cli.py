"""The commands ``fly`` and ``demo``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

FOLDER = click.Path(path_type=Path, file_okay=False)
INTERRUPTED = 130


def flight_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that ``fly`` and ``demo`` share."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table."),
        click.option("--log", is_flag=True, help="Keep a row per frame as JSON lines."),
        click.option("--video/--no-video", default=True, show_default=True, help="Write an MP4 with overlay."),
        click.option("--depth/--no-depth", default=True, show_default=True, help="Drawn street: send depth too."),
        click.option("--seed", default=0, show_default=True, help="Drawn street: slabs, clothes, passers-by."),
        click.option("--loop", is_flag=True, help="Replay: start over at the end."),
        click.option("--rate", default=20.0, show_default=True, help="Frames per second."),
        click.option("--frames", type=FOLDER, help="Folder of recordings: images/ (and masks/), or pictures."),
    ):
        command = option(command)
    return command


@click.command()
@click.option("--world", type=click.Choice(["replay", "drawn"]), help="Default: replay with --frames, else drawn.")
@click.option("--seconds", type=float, help="Length of the flight. Default: all of it.")
@click.option("--server", default="tcp://127.0.0.1:5555", show_default=True, help="The server's ZeroMQ door.")
@click.option("--stream", default="", help="Name of the stream.")
@click.option("--model", help="Model to ask the server for. Default: the server's own.")
@click.option("--out", type=FOLDER, default=Path("out/fly"), show_default=True, help="Where video and report go.")
@click.option("--save-frames", type=FOLDER, help="Write the world's frames (images/, masks/) there; fly nothing.")
@flight_options
def fly(world: str | None, save_frames: Path | None, as_json: bool, **options: Any) -> int:
    """Stream a world's frames to a server; report answers, drops, latency and how right the answers are."""
    from quadfollow_core.errors import ServerGone
    from quadfollow_sim.flight import FlightPlan, carry_out
    from quadfollow_sim.signals import terminable

    plan = FlightPlan(world=world or ("replay" if options["frames"] else "drawn"), **options)  # type: ignore[arg-type]
    with terminable():
        if save_frames is not None:
            return _save(plan, save_frames, as_json)
        report = carry_out(plan)
    code = _show(report, as_json)
    if report["server_gone"]:
        raise ServerGone(f"the server at {plan.server} stopped answering during the flight")
    return code


@click.command()
@click.option("--seconds", type=float, help="Length of the flight. Default: all of a recording, one walk otherwise.")
@click.option("--model", help="Model file or name of a shipped model. Default: the shipped default.")
@click.option("--device", default="auto", show_default=True, help="Where the server computes: see `serve`.")
@click.option("--out", type=FOLDER, default=Path("out/demo"), show_default=True, help="Where video and report go.")
@flight_options
def demo(model: str | None, device: str, out: Path, as_json: bool, **options: Any) -> int:
    """Start a server with the shipped model, fly a short world past it, show the table, shut it down."""
    from quadfollow_core.shipped import find_model
    from quadfollow_sim.flight import FlightPlan, carry_out
    from quadfollow_sim.server_process import ServerProcess
    from quadfollow_sim.signals import terminable

    find_model(model)
    world = "replay" if options["frames"] else "drawn"
    with terminable(), ServerProcess(out / "server.log", model=model, device=device) as server:
        click.echo(f"server ready at {server.url} and {server.address}; its log: {out / 'server.log'}", err=True)
        plan = FlightPlan(world=world, server=server.address, out=out, stream="demo", **options)  # type: ignore[arg-type]
        report = carry_out(plan)
        died = server.died()
    code = _show(report, as_json)
    if died is not None:
        raise died
    return code


def _save(plan: Any, folder: Path, as_json: bool) -> int:
    from quadfollow_sim.flight import open_world
    from quadfollow_sim.save import save_frames

    count = save_frames(open_world(plan), folder)
    click.echo(json.dumps({"frames": count, "folder": str(folder)}) if as_json else f"{count} frames in {folder}")
    return 0


def _show(report: dict[str, Any], as_json: bool) -> int:
    """Print a report; the exit code says whether the flight was cut short."""
    from quadfollow_sim.report import table

    if as_json:
        click.echo(json.dumps(report))
    else:
        click.echo(table(report))
        for name, path in report["files"].items():
            click.echo(f"{name:8}{path}")
    return INTERRUPTED if report["interrupted"] else 0
