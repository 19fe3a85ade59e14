"""The command ``pilot``: orders to a flight under way."""

from __future__ import annotations

import json
from typing import Any, get_args

import click

from quadfollow_sim.orders.wire import ADDRESS
from quadfollow_sim.safety import Order

STATUS = "status"


@click.command()
@click.argument("order", type=click.Choice([*get_args(Order), STATUS]))
@click.option("--orders", "address", default=ADDRESS, show_default=True, help="Where the flight takes orders.")
@click.option("--patience", type=click.FloatRange(min=0.1), default=10.0, show_default=True, help="Seconds to wait.")
@click.option("--json", "as_json", is_flag=True, help="Print the pilot's reply as one JSON object.")
def pilot(order: str, address: str, patience: float, as_json: bool) -> int:
    """Give an order to the pilot of a `quadfollow fly` under way, or ask how it stands.

    arm lets it fly; hold brakes and hovers until resume; disarm does so until armed anew; abort brakes, hovers and ends
    the flight. Exit code 1: the order could not be obeyed; 5: nobody flies there.
    """
    from quadfollow_sim.orders.client import OrdersClient

    with OrdersClient(address, patience) as client:
        reply = client.status() if order == STATUS else client.order(order)  # type: ignore[arg-type]
    click.echo(json.dumps(reply) if as_json else _told(reply))
    return 0 if reply.get("obeyed", True) else 1


def _told(reply: dict[str, Any]) -> str:
    refused = "" if reply.get("obeyed", True) else f"{reply['order']} changed nothing: the pilot is "
    x, y, z = reply["position"]
    doing = "flying" if reply["braking"] is None else f"braking: {reply['braking']}"
    return (
        f"{refused}{reply['mode']}; {doing}; track {reply['state'] or 'none'}; {reply['speed']:.1f} m/s at "
        f"({x:.1f}, {y:.1f}, {z:.1f}) m, {reply['time']:.1f} s"
    )
