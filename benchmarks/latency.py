"""How long an answer takes through each door, beside the network alone, in one run.

``python benchmarks/latency.py [--frames N] [--json]``: for every shipped model, one client asks for one frame after the
other: the session by itself, over ZeroMQ, over HTTP. The three take turns, so that a noisy machine disturbs all alike;
read the differences, not the absolute times.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import httpx
import numpy as np

from quadfollow_core.codec import decode_image
from quadfollow_core.resize import fit_frame
from quadfollow_core.shipped import shipped_models
from quadfollow_core.stream_client import StreamClient
from quadfollow_server.engine import OnnxSegmenter, load_model
from quadfollow_server.running import RunningServer
from quadfollow_server.settings import Settings
from quadfollow_sim.drawn import DrawnSource

JPEG = {"content-type": "image/jpeg"}
ROUND = 10
"""Frames in a row before the next way takes its turn."""


def ask_stream(client: StreamClient, jpeg: bytes) -> None:
    """Send one frame over ZeroMQ and wait for its answer."""
    client.offer(jpeg)
    (fate,) = client.poll(30.0)
    assert fate.outcome == "result", fate


def ask_http(client: httpx.Client, jpeg: bytes) -> None:
    """Post one frame as a raw body and wait for its answer."""
    client.post("/segment", content=jpeg, headers=JPEG).raise_for_status()


def measure(path: Path, jpeg: bytes, frames: int) -> dict[str, Any]:
    """Time the three ways in turns; milliseconds."""
    session = load_model(path, "cpu")
    image, _ = fit_frame(decode_image(jpeg), session.contract.size)
    settings = Settings(models=(str(path),), device="cpu", port=0, zmq_port=0, pub_port=0)
    with (
        RunningServer(settings) as server,
        StreamClient(server.address, timeout=30) as stream,
        httpx.Client(base_url=server.url, timeout=30) as http,
    ):
        ways: dict[str, Callable[[], object]] = {
            "session": lambda: session.segment(image),
            "zeromq": lambda: ask_stream(stream, jpeg),
            "http": lambda: ask_http(http, jpeg),
        }
        return summary(session, in_turns(ways, frames))


def in_turns(ways: dict[str, Callable[[], object]], frames: int) -> dict[str, list[float]]:
    """Call each way so many times, some in a row at a time; the first round of each is not counted."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(frames // ROUND + 1):
        for name, way in ways.items():
            for _ in range(ROUND):
                started = time.perf_counter()
                way()
                if number:
                    times[name].append(1000 * (time.perf_counter() - started))
    return times


def summary(session: OnnxSegmenter, times: dict[str, list[float]]) -> dict[str, Any]:
    """Percentiles per way, and what the doors add to the session at the median."""
    ways = {
        name: {"p50": float(np.percentile(values, 50)), "p99": float(np.percentile(values, 99))}
        for name, values in times.items()
    }
    added = {name: ways[name]["p50"] - ways["session"]["p50"] for name in ("zeromq", "http")}
    return {"model": session.contract.name, "ms": ways, "added_ms": added}


@click.command()
@click.option("--frames", default=300, show_default=True, help="Frames per model and way.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def main(frames: int, as_json: bool) -> None:
    """Measure every shipped model."""
    observation = DrawnSource().read(56)
    assert observation is not None
    assert isinstance(observation.image, bytes)
    rows = [measure(path, observation.image, frames) for path in shipped_models()]
    if as_json:
        click.echo(json.dumps({"frames": frames, "models": rows}))
        return
    click.echo(f"{'model':12}{'session':>16}{'ZeroMQ':>16}{'HTTP':>16}   p50 / p99 ms; added by the doors at p50")
    for row in rows:
        cells = "".join(f"{way['p50']:>8.1f} /{way['p99']:>6.1f}" for way in row["ms"].values())
        click.echo(f"{row['model']:12}{cells}   {row['added_ms']['zeromq']:+.2f} {row['added_ms']['http']:+.2f}")


if __name__ == "__main__":
    main()
