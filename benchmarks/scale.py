"""How the server's cost grows: with the frame's size, with the number of streams, with the number of clients.

``python benchmarks/scale.py``: every client asks again once it is answered or refused. What should stay flat is
the server's processor time per answer and its memory; throughput should stay and waiting grow in proportion.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import click
from measuring import results
from measuring.frames import frame
from measuring.load import Plan
from measuring.servers import Ours, http_plan, jpeg_request, weighed, zmq_plan, zmq_request
from measuring.summaries import percentiles, spread
from measuring.turns import in_turns

from quadfollow_core.shipped import DEFAULT_MODEL, find_model

NAME = "scale"
SIZES = ((160, 160), (256, 256), (640, 480), (1280, 720), (1920, 1080))
COUNTS = (1, 4, 16, 64)
Load = dict[str, Any]


def plans(server: Ours) -> dict[str, Plan]:
    """What is asked, by name: what grows, and to how much."""
    zmq = {size: zmq_request(frame(size), encoding="jpeg", want=["target"]) for size in SIZES}
    http = jpeg_request(frame())
    sizes = {f"frame | {size[0]}x{size[1]}": zmq_plan(server.zmq_port, parts) for size, parts in zmq.items()}
    streams = {f"ZeroMQ streams | {n}": zmq_plan(server.zmq_port, zmq[256, 256], clients=n) for n in COUNTS}
    clients = {f"HTTP clients | {n}": http_plan(server.port, http, clients=n) for n in COUNTS}
    return sizes | streams | clients


def summary(rounds: list[Load]) -> dict[str, Any]:
    """One way's rounds together."""
    return {
        "ms": percentiles(value for load in rounds for value in load["latencies"]),
        "per_second": spread([len(load["latencies"]) / load["seconds"] for load in rounds]),
        "server_cpu_ms": spread([load["server_cpu_ms"] for load in rounds]),
        "memory_mb": spread([load["memory_mb"] for load in rounds]),
        "errors": sum(load["errors"] for load in rounds),
    }


def table(result: dict[str, Any]) -> str:
    """Lay out the figures."""
    head = ["what grows", "to", "answers/s", "errors", "p50, ms", "p99, ms", "server CPU, ms each", "memory, MB"]
    rows = []
    for name, way in result["figures"]["ways"].items():
        cells = [results.ranged(way["per_second"], 0), str(way["errors"])]
        cells += [results.number(way["ms"]["p50"], 2), results.tail(way["ms"], 2)]
        cells += [results.ranged(way["server_cpu_ms"]), results.number(way["memory_mb"]["median"], 0)]
        rows.append([*name.split(" | "), *cells])
    return results.table(head, rows)


@click.command()
@click.option("--model", default=DEFAULT_MODEL, show_default=True, help="Shipped model that is served.")
@click.option("--device", default="auto", show_default=True)
@click.option("--rounds", default=4, show_default=True)
@click.option("--seconds", default=1.5, show_default=True, help="Length of one turn.")
@results.out_option
def main(model: str, device: str, rounds: int, seconds: float, out: Path) -> None:
    """Measure how cost grows."""

    def measure() -> dict[str, Any]:
        path = find_model(model).resolve()
        with Ours(out.resolve() / "logs" / "scale.log", ("--model", path, "--device", device)) as server:
            ways: dict[str, Callable[[], Load]] = {
                name: partial(weighed, server, replace(plan, seconds=seconds)) for name, plan in plans(server).items()
            }
            served, taken = server.model(path), in_turns(ways, rounds, warm_up=0)
            return {"served": served, "ways": {name: summary(one) for name, one in taken.items()}}

    options = {"model": model, "device": device, "rounds": rounds, "seconds": seconds}
    click.echo(table(results.run(NAME, out, options, measure)))


if __name__ == "__main__":
    main()
