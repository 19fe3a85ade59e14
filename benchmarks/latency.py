"""How long an answer takes through each door, beside the network alone, in one run.

``python benchmarks/latency.py``: one client asks for one frame after the other: the session by itself, over ZeroMQ,
over HTTP, of a server in a process of its own; and of a bare loop in its place, which shows what this machine asks of
any server. All take turns, so that a noisy machine disturbs all alike; read the differences, not the absolute times.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
from measuring import results
from measuring.frames import frame
from measuring.http_client import HttpClient
from measuring.models import chosen, model_option
from measuring.servers import Bare, Ours, jpeg_request
from measuring.summaries import percentiles, spread
from measuring.turns import in_turns, timed

from quadfollow_core.codec import decode_image
from quadfollow_core.errors import ServerGone
from quadfollow_core.resize import fit_frame
from quadfollow_core.stream_client import StreamClient
from quadfollow_server.engine import load_model

NAME = "latency"
SESSION = "session alone"
BARE = ("ZeroMQ, bare loop", "HTTP, bare loop")


def ask_stream(client: StreamClient, jpeg: bytes) -> None:
    """Send one frame over ZeroMQ and wait for its answer."""
    client.offer(jpeg, want=["target"])
    (fate,) = client.poll(30.0)
    if fate.outcome != "result":
        raise ServerGone(f"a frame was not answered: {fate}")


def measure_model(path: Path, device: str, rounds: int, calls: int, logs: Path) -> dict[str, Any]:
    """Time all ways of one model."""
    jpeg = frame()
    segmenter = load_model(path, device)
    image, _ = fit_frame(decode_image(jpeg), segmenter.contract.size)
    served = ("--model", path.resolve(), "--device", device)
    with (
        Ours(logs / f"latency-{path.stem}.log", served) as server,
        StreamClient(server.address, timeout=30) as stream,
        HttpClient(server.port) as http,
        Bare(logs / f"latency-{path.stem}-zmq.log", "zmq", served) as bare_zmq,
        StreamClient(bare_zmq.address, timeout=30) as bare_stream,
        Bare(logs / f"latency-{path.stem}-http.log", "http", served) as bare_http,
        HttpClient(bare_http.port) as bare_client,
    ):
        ways: dict[str, Callable[[], object]] = {
            SESSION: partial(segmenter.segment, image),
            "ZeroMQ": partial(ask_stream, stream, jpeg),
            BARE[0]: partial(ask_stream, bare_stream, jpeg),
            "HTTP": partial(http.ask, jpeg_request(jpeg)),
            BARE[1]: partial(bare_client.ask, jpeg_request(jpeg)),
        }
        taken = in_turns({name: timed(way, calls) for name, way in ways.items()}, rounds)
    return {"model": path.stem, "device": segmenter.device.provider, **summary(taken)}


def summary(taken: dict[str, list[list[float]]]) -> dict[str, Any]:
    """Percentiles per way, and round by round what a door adds to the session's median."""
    medians = {name: [percentiles(times)["p50"] for times in rounds] for name, rounds in taken.items()}
    added = {
        name: spread([door - alone for door, alone in zip(medians[name], medians[SESSION], strict=True)])
        for name in taken
        if name != SESSION
    }
    pooled = {name: percentiles(time for times in rounds for time in times) for name, rounds in taken.items()}
    return {"ms": pooled, "added_ms": added}


def table(result: dict[str, Any]) -> str:
    """Lay out the figures."""
    head = ["model", "way", "p50, ms", "p99, ms", "p99 / p50", "added to the session at p50, ms"]
    rows = []
    for model in result["figures"]["models"]:
        for name, way in model["ms"].items():
            cells = [results.number(way["p50"], 2), results.number(way["p99"], 2)]
            cells += [results.number(way["p99"] / way["p50"], 2), results.ranged(model["added_ms"].get(name))]
            rows.append([model["model"], name, *cells])
    return results.table(head, rows)


@click.command()
@model_option
@click.option("--device", default="auto", show_default=True)
@click.option("--rounds", default=20, show_default=True)
@click.option("--calls", default=20, show_default=True, help="Frames in a row before the next way's turn.")
@results.out_option
def main(models: tuple[str, ...], device: str, rounds: int, calls: int, out: Path) -> None:
    """Measure every shipped model."""
    paths = chosen(models)

    def measure() -> dict[str, Any]:
        return {"models": [measure_model(path, device, rounds, calls, out.resolve() / "logs") for path in paths]}

    click.echo(table(results.run(NAME, out, {"device": device, "rounds": rounds, "calls": calls}, measure)))


if __name__ == "__main__":
    main()
