"""What good clients notice of bad ones: 200 connections whose heads never end, and 50 clients that never read.

``python benchmarks/hostile.py [--rounds 6] [--seconds 10] [--json]``: good clients ask at a steady pace while turns
with and without the bad ones alternate, so that a machine that others use disturbs both alike; read the ratio. The bad
ones live in a process of their own. The exit code is 1 where the good clients' p99 grew by a fifth or more.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import httpx
from measuring import results
from measuring.crowd import Scene, crawls, enter, never_reads, never_reads_http, posts, streams
from measuring.frames import frame
from measuring.ledger import Span
from measuring.summaries import in_ms

from quadfollow_sim.server_process import ServerProcess

LORIS = 200
DEAF = 25
"""Clients that never read, over HTTP; and as many over ZeroMQ."""
SETTLE = 3.0
"""Seconds after a change that count for neither side."""
ALLOWED = 1.2


def misbehave(url: str, address: str, over: Any) -> None:
    """All the bad clients, in this process, until it is over."""
    scene = Scene(url, address, "", b"", rate=1)
    scene.over = over
    clients = [(never_reads, DEAF), (never_reads_http, DEAF), *[(crawls, 1)] * (LORIS // 20)]
    for client in enter(scene, clients):
        client.join()


@contextmanager
def bad_company(scene: Scene) -> Iterator[None]:
    """Have the bad clients about for as long as the block lasts."""
    spawning = multiprocessing.get_context("spawn")
    over = spawning.Event()
    process = spawning.Process(target=misbehave, args=(scene.url, scene.address, over))
    process.start()
    try:
        yield
    finally:
        over.set()
        process.join(20)
        process.kill()


def measured(seconds: float) -> Span:
    """Let some time pass, and return that which counts."""
    time.sleep(SETTLE)
    begun = time.monotonic()
    time.sleep(seconds)
    return begun, time.monotonic()


def connections(url: str) -> int:
    """File handles of the server: how many connections it holds, and a few more."""
    text = httpx.get(f"{url}/metrics", timeout=60).text
    return int(float(text.partition("\nprocess_open_fds ")[2].partition("\n")[0]))


def compare(scene: Scene, rounds: int, seconds: float) -> dict[str, Any]:
    """Measure in turns."""
    alone: list[float] = []
    beside: list[float] = []
    held = []
    for _ in range(rounds):
        alone += scene.ledger.ages(measured(seconds))
        with bad_company(scene):
            time.sleep(SETTLE)  # a process starts
            beside += scene.ledger.ages(measured(seconds))
            held.append(connections(scene.url))
    told = {"alone": summary(alone, scene.rate), "beside": summary(beside, scene.rate)}
    return told | {"server_file_handles_beside": held}


def summary(ages: list[float], rate: float) -> dict[str, Any]:
    """How many answers there were, and percentiles, to which the frames add that clients left out while they waited.

    Each was due at its own time and would have had the rest of the wait: a server that stands still for two seconds
    is then seen in all that was due meanwhile, and not in one frame of each client.
    """
    period = 1000 / rate if rate else 0.0
    every = [age - left_out * period for age in ages for left_out in range(max(1, math.ceil(age * rate / 1000)))]
    return {"answers": len(ages), **in_ms(every)}


@click.command()
@click.option("--rounds", default=6, show_default=True, help="Turns of each kind.")
@click.option("--seconds", default=10.0, show_default=True, help="Length of a turn.")
@click.option("--rate", default=5.0, show_default=True, help="Frames per second of each of the six good clients.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def main(rounds: int, seconds: float, rate: float, as_json: bool) -> None:
    """Measure."""
    results.end_in_order()
    os.environ["QUADFOLLOW_SERVE_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as folder, ServerProcess(Path(folder) / "server.log") as server:
        scene = Scene(server.url, server.address, server.pub_address, frame(), rate)
        good = enter(scene, [(streams, 4), (posts, 2)])
        told = compare(scene, rounds, seconds)
        scene.over.set()
        for client in good:
            client.join(10)
        fates = scene.ledger.fates([])
    ratio = told["beside"]["p99_ms"] / told["alone"]["p99_ms"]
    told |= {"p99_ratio": round(ratio, 3), "p50_ratio": round(told["beside"]["p50_ms"] / told["alone"]["p50_ms"], 3)}
    told |= {"slow_loris": LORIS, "never_read": 2 * DEAF, "fates": fates, "fallen": scene.ledger.fallen}
    if as_json:
        click.echo(json.dumps(told))
    else:
        for name in ("alone", "beside"):
            click.echo(f"{name:8}" + "  ".join(f"{key} {value:>8}" for key, value in told[name].items()))
        click.echo(f"p99 {ratio:.2f} times, p50 {told['p50_ratio']:.2f} times what it is alone; {fates}")
    sys.exit(0 if ratio < ALLOWED and not scene.ledger.fallen else 1)


if __name__ == "__main__":
    main()
