"""The command ``plan``."""

from __future__ import annotations

import json
from typing import Any

import click


@click.command()
@click.option("--streams", default=1, show_default=True, help="Cameras at once.")
@click.option("--hz", default=20.0, show_default=True, help="Frames per second of each.")
@click.option("--size", default="256x256", show_default=True, help="WIDTHxHEIGHT of a frame as sent.")
@click.option("--model", default="follow-256", show_default=True, help="A shipped model.")
@click.option("--full", default=0.6, show_default=True, help="Share of its time a core or GPU may be at work.")
@click.option("--core-price", type=float, help="Of one core for an hour, in any currency.")
@click.option("--gpu-price", type=float, help="Of one GPU for an hour, in the same.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def plan(as_json: bool, **wanted: Any) -> None:
    """Say what so many streams need: cores, GPUs, bandwidth and, with prices, the cost of each."""
    from quadfollow_server.plan import Wanted, text
    from quadfollow_server.plan import plan as work_out

    told = work_out(Wanted(**wanted))
    click.echo(json.dumps(told) if as_json else text(told))
