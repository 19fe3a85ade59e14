"""The whole loop by the real clock: how long from a picture's capture to the command that its answer steers.

``python benchmarks/flight.py``: the quadrotor of the embedded city follows the person in red, with the server in a
process of its own; the world does not wait for answers. How well it follows is another question, asked in lockstep
by ``benchmarks/flights.py``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from measuring import results

from quadfollow_core.shipped import DEFAULT_MODEL
from quadfollow_sim.mission import MissionPlan, carry_out_mission
from quadfollow_sim.server_process import ServerProcess

NAME = "flight"


def fly(model: str, rate: float, seconds: float, flights: int, out: Path) -> dict[str, Any]:
    """Make some flights at one rate of pictures."""
    folder = out / f"flight-{model}-{rate:g}"
    with ServerProcess(folder / "server.log", model=model) as server:
        plan = MissionPlan(
            flights=flights, seconds=seconds, clock="real", rate=rate, server=server.address, out=folder, video=False
        )
        overall: dict[str, Any] = carry_out_mission(plan)["overall"]
    kept = ("latency_ms", "lag_ms", "skipped", "in_view", "position_error_m", "flights_with_long_loss")
    return {"model": model, "rate": rate, "flights": flights} | {name: overall[name] for name in kept}


def table(result: dict[str, Any]) -> str:
    """Lay out the figures."""
    head = [
        "model",
        "pictures/s",
        "flights",
        "capture to command p50, ms",
        "p90",
        "p99",
        "pictures left out",
        "in view",
    ]
    rows = []
    for flown in result["figures"]["flights"]:
        ages = [results.number((flown["latency_ms"] or {}).get(share)) for share in ("p50", "p90", "p99")]
        seen = results.number(100 * (flown["in_view"]["mean"] or 0)) + " %"
        rows.append([flown["model"], f"{flown['rate']:g}", str(flown["flights"]), *ages, str(flown["skipped"]), seen])
    return results.table(head, rows)


@click.command()
@click.option("--model", default=DEFAULT_MODEL, show_default=True)
@click.option("--rate", "rates", multiple=True, type=float, default=(10.0, 20.0), show_default=True)
@click.option("--seconds", default=20.0, show_default=True, help="Length of a flight.")
@click.option("--flights", default=2, show_default=True)
@results.out_option
def main(model: str, rates: tuple[float, ...], seconds: float, flights: int, out: Path) -> None:
    """Measure the whole loop."""

    def measure() -> dict[str, Any]:
        return {"flights": [fly(model, rate, seconds, flights, out) for rate in rates]}

    options = {"model": model, "seconds": seconds, "flights": flights}
    click.echo(table(results.run(NAME, out, options, measure)))


if __name__ == "__main__":
    main()
