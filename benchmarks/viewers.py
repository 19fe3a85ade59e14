"""What it costs a stream's answers that people look at the live view, in one run.

``python benchmarks/viewers.py [--viewers N] [--rounds N] [--json]``: one stream of 20 frames per second goes to a
server in a process of its own. In turns of a few seconds nobody looks on, then so many viewers, each asking for the
next picture as soon as it has one. Viewers read and throw away; they share this machine with the server, as real ones
would not. The interval of the ratio is that of 95 % of 2,000 draws of the rounds with replacement. The last line is
the processor time that an answer spends on the live view while nobody looks.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import tempfile
import timeit
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import click
import numpy as np
from measuring import results
from numpy.typing import NDArray
from websockets.asyncio.client import connect

from quadfollow_core.request import Result, parse_request
from quadfollow_core.stream_client import StreamClient
from quadfollow_server.jobs import Job
from quadfollow_server.live_view import LiveView
from quadfollow_server.metrics import Metrics
from quadfollow_sim.bridge import fly
from quadfollow_sim.drawn import DrawnSource
from quadfollow_sim.server_process import ServerProcess
from quadfollow_sim.world import Observation, ScriptedSource

RATE = 20.0
TURN = 80
"""Frames in a row before it is the others' turn; the first quarter is not counted."""
QUESTION = json.dumps({"stream": None})
Times = NDArray[np.float64]


async def look(address: str, shown: list[int]) -> None:
    """Be a viewer: ask, read, ask again."""
    async with connect(address, compression=None, max_size=None, proxy=None) as socket:
        while True:
            await socket.send(QUESTION)
            shown[0] += isinstance(await socket.recv(), bytes)


def be_viewers(address: str, count: int, orders: Connection) -> None:
    """In a process of its own: look on from one order to the next, and tell how many pictures came."""

    async def run() -> None:
        while await asyncio.to_thread(orders.recv):
            shown = [0]
            looking = [asyncio.create_task(look(address, shown)) for _ in range(count)]
            await asyncio.to_thread(orders.recv)
            for one in looking:
                one.cancel()
            await asyncio.gather(*looking, return_exceptions=True)
            orders.send(shown[0])

    asyncio.run(run())


def answer_times(address: str, walk: list[Observation]) -> Times:
    """Milliseconds from capture to answer, over one turn."""
    with StreamClient(address, stream="front", timeout=10) as client:
        rows = fly(ScriptedSource(walk, RATE), client, ask=lambda _: {"want": ["target", "people", "track"]}).rows
    return np.array([row.latency_ms for row in rows[len(rows) // 4 :] if row.latency_ms is not None])


def measure(viewers: int, rounds: int) -> dict[str, Any]:
    """Answer times by round, without and with viewers."""
    walk = [one for _ in range(TURN) if (one := DRAWN.read()) is not None]
    alone, watched, shown = [], [], 0
    mine, theirs = multiprocessing.Pipe()
    with tempfile.TemporaryDirectory() as folder, ServerProcess(Path(folder) / "server.log") as server:
        view = server.url.replace("http", "ws") + "/view"
        watching = multiprocessing.get_context("spawn").Process(
            target=be_viewers, args=(view, viewers, theirs), daemon=True
        )
        watching.start()
        answer_times(server.address, walk)
        for _ in range(rounds):
            alone.append(answer_times(server.address, walk))
            mine.send(True)
            watched.append(answer_times(server.address, walk))
            mine.send(True)
            shown += mine.recv()
        mine.send(False)
        watching.join()
    pictures_per_second = shown / (rounds * TURN / RATE)
    return {"viewers": viewers, "pictures_per_second": pictures_per_second} | compare(alone, watched)


def compare(alone: list[Times], watched: list[Times]) -> dict[str, Any]:
    """Percentiles over all rounds, and their ratio with its interval."""
    rng = np.random.default_rng(0)
    found: dict[str, Any] = {"frames": [sum(map(len, alone)), sum(map(len, watched))]}
    for share in (50, 99):

        def at(rounds: list[Times], picked: NDArray[np.int64], share: int = share) -> float:
            return float(np.percentile(np.concatenate([rounds[one] for one in picked]), share))

        draws = rng.integers(0, len(alone), (2000, len(alone)))
        ratios = [at(watched, picked) / at(alone, picked) for picked in draws]
        every = np.arange(len(alone))
        found[f"p{share}"] = {
            "alone_ms": at(alone, every),
            "watched_ms": at(watched, every),
            "ratio": at(watched, every) / at(alone, every),
            "interval": [float(np.percentile(ratios, edge)) for edge in (2.5, 97.5)],
        }
    return found


def idle_ns() -> float:
    """Nanoseconds that an answer spends on a live view which nobody looks at."""
    live = LiveView(Metrics(), 32)
    job = Job(parse_request({"stream": "front"}, b"\xff\xd8\xff"), "bench", lambda outcome: None, "lane")
    result = Result({"target": None})
    return 1e9 * min(timeit.repeat(lambda: live.show(job, result), number=100_000, repeat=5)) / 100_000


DRAWN = DrawnSource(rate=RATE, with_depth=False)


@click.command()
@click.option("--viewers", default=20, show_default=True)
@click.option("--rounds", default=20, show_default=True, help="Turns of each kind.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def main(viewers: int, rounds: int, as_json: bool) -> None:
    """Measure answers with nobody looking on, and with many."""
    results.end_in_order()
    found = measure(viewers, rounds) | {"idle_ns": idle_ns()}
    if as_json:
        click.echo(json.dumps(found))
        return
    click.echo(f"{viewers} viewers were shown {found['pictures_per_second']:.0f} pictures per second")
    for name in ("p50", "p99"):
        row = found[name]
        low, high = row["interval"]
        click.echo(
            f"{name}: {row['alone_ms']:.1f} ms alone, {row['watched_ms']:.1f} ms watched; "
            f"ratio {row['ratio']:.3f} ({low:.3f} to {high:.3f})"
        )
    click.echo(f"while nobody looks: {found['idle_ns']:.0f} ns per answer")


if __name__ == "__main__":
    main()
