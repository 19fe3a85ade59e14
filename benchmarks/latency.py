"""How long an answer takes through each door, beside the network alone, in one run.

``python benchmarks/latency.py``: one client asks for one frame after the other: the session by itself, over ZeroMQ,
over HTTP, of a server in a process of its own; and of a bare loop in its place, which shows what this machine asks of
any server. All run the network in the way that the session by itself found to be fastest. All take turns, so that a
noisy machine disturbs all alike; read the differences, not the absolute times.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import click
from measuring import results
from measuring.frames import frame
from measuring.http_client import HttpClient
from measuring.models import chosen, model_option
from measuring.servers import Bare, Ours, jpeg_request
from measuring.summaries import has_tail, percentiles, spread
from measuring.turns import in_turns, timed

from quadfollow_core.codec import decode_image
from quadfollow_core.errors import ServerGone, Unavailable
from quadfollow_core.resize import fit_frame
from quadfollow_core.stream_client import StreamClient
from quadfollow_server.engine import load_model
from quadfollow_server.segmenter import Device

NAME = "latency"
SESSION = "session alone"
BARE = {"ZeroMQ": "ZeroMQ, bare loop", "HTTP": "HTTP, bare loop"}
"""Each door's bare loop."""


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
    served = ("--model", path.resolve(), "--device", segmenter.device.name, "--variant", segmenter.device.variant)
    with (
        Ours(logs / f"latency-{path.stem}.log", served) as server,
        StreamClient(server.address, timeout=30) as stream,
        HttpClient(server.port) as http,
        Bare(logs / f"latency-{path.stem}-zmq.log", "zmq", served) as bare_zmq,
        StreamClient(bare_zmq.address, timeout=30) as bare_stream,
        Bare(logs / f"latency-{path.stem}-http.log", "http", served) as bare_http,
        HttpClient(bare_http.port) as bare_client,
    ):
        told = server.model(path)
        require_same(segmenter.device, told["device"])
        ways: dict[str, Callable[[], object]] = {
            SESSION: partial(segmenter.segment, image),
            "ZeroMQ": partial(ask_stream, stream, jpeg),
            BARE["ZeroMQ"]: partial(ask_stream, bare_stream, jpeg),
            "HTTP": partial(http.ask, jpeg_request(jpeg)),
            BARE["HTTP"]: partial(bare_client.ask, jpeg_request(jpeg)),
        }
        taken = in_turns({name: timed(way, calls) for name, way in ways.items()}, rounds)
    return {"model": path.stem, "device": segmenter.device.provider, "served": told, **summary(taken)}


def require_same(session: Device, server: Mapping[str, str]) -> None:
    """Check that the server runs the network as the session does.

    Raises:
        Unavailable: it runs it on another device or in another variant.
    """
    mine, theirs = (session.name, session.variant), (server["name"], server["variant"])
    if mine != theirs:
        raise Unavailable(f"the session runs on {' '.join(mine)}, the server on {' '.join(theirs)}")


def summary(taken: dict[str, list[list[float]]]) -> dict[str, Any]:
    """Percentiles per way; round by round what a door adds to the session's median, and what to a bare loop's."""
    medians = {name: [percentiles(times)["p50"] for times in rounds] for name, rounds in taken.items()}

    def beyond(name: str, other: str) -> dict[str, float]:
        return spread([one - less for one, less in zip(medians[name], medians[other], strict=True)])

    pooled = {name: percentiles(time for times in rounds for time in times) for name, rounds in taken.items()}
    added = {name: beyond(name, SESSION) for name in taken if name != SESSION}
    beyond_bare = {door: beyond(door, bare) for door, bare in BARE.items()}
    return {"ms": pooled, "added_ms": added, "beyond_bare_ms": beyond_bare}


def table(result: dict[str, Any]) -> str:
    """Lay out the figures."""
    head = ["model", "way", "p50, ms", "p99, ms", "p99 / p50", "added to the session at p50, ms"]
    head += ["added to the bare loop at p50, ms"]
    rows = []
    for model in result["figures"]["models"]:
        for name, way in model["ms"].items():
            times = results.number(way["p99"] / way["p50"] if has_tail(way) else None, 2)
            cells = [results.number(way["p50"], 2), results.tail(way, 2), times]
            cells += [results.ranged(model.get(part, {}).get(name)) for part in ("added_ms", "beyond_bare_ms")]
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
