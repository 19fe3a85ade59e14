"""Live video over ZeroMQ: N cameras at a fixed rate, how old each answer is, who is served how often.

``python benchmarks/stream.py [--model NAME]``: cameras do not wait for the server, so what it cannot answer must be
dropped, and the question is whether what is answered is fresh and whether every stream gets its share. Beside ours:
imagezmq's hub and vidgear's NetGear in its two-way mode, with the same ONNX file, written as their documentation shows.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click
from measuring import results
from measuring.frames import frame
from measuring.peers import SOURCES, environment
from measuring.servers import Ours, Process
from measuring.summaries import percentiles, spread
from measuring.turns import in_turns

from quadfollow_core.errors import QuadfollowError, Unavailable
from quadfollow_core.shipped import DEFAULT_MODEL, find_model
from quadfollow_sim.server_process import free_ports

NAME = "stream"
CAMERAS = Path(__file__).parent / "measuring" / "cameras.py"
LOADS = ((1, 20.0), (1, 100.0), (4, 20.0), (8, 20.0), (16, 20.0))
"""Streams, and pictures per second of each."""
TRIAL, TRIAL_SECONDS = (1, 10.0), 0.5
"""What each other server is tried with before anything is measured."""
PATIENCE = 60.0
"""Seconds that cameras may take beyond those they stream: a server may have to start first, and one may have died."""
PEER_LOADS = {"imagezmq": LOADS, "vidgear": LOADS[:2]}
"""NetGear's two-way mode is for one camera."""
Streams = list[dict[str, Any]]


def film(program: Sequence[object], target: object, load: tuple[int, float], seconds: float, jpeg: bytes) -> Streams:
    """Let cameras stream to a server in a process of their own.

    Raises:
        Unavailable: they failed, or did not end.
    """
    streams, hz = load
    words = [str(word) for word in (*program, target, streams, hz, seconds)]
    try:
        done = subprocess.run(words, input=jpeg, stdout=subprocess.PIPE, check=True, timeout=seconds + PATIENCE)
    except subprocess.SubprocessError as error:
        raise Unavailable(f"its cameras failed: {error}") from error
    found: Streams = json.loads(done.stdout)
    return found


def film_ours(server: Ours, load: tuple[int, float], seconds: float, jpeg: bytes) -> dict[str, Any]:
    """Stream to our server, and weigh it."""
    streams = film((sys.executable, CAMERAS), server.address, load, seconds, jpeg)
    return {"streams": streams, "memory_mb": server.memory_mb}


def film_peer(
    name: str, model: Path, log: Path, load: tuple[int, float], seconds: float, jpeg: bytes
) -> dict[str, Any]:
    """Start another server, stream to it, and end it: NetGear's ends with its camera anyway."""
    (port,) = free_ports(1)
    python = environment(name) / "bin" / "python"
    variables = {"PYTHONPATH": str(SOURCES), "PEER_MODEL": str(model)}
    with Process([python, SOURCES / f"{name}_server.py", port], port, log, **variables):
        return {"streams": film((python, SOURCES / f"{name}_client.py"), port, load, seconds, jpeg)}


def ways(model: Path, server: Ours, peers: Sequence[str], seconds: float, out: Path) -> dict[str, Callable[[], Any]]:
    """Everybody at every load."""
    jpeg = frame()
    made: dict[str, Callable[[], Any]] = {}
    for load in LOADS:
        made[key("quadfollow", load)] = partial(film_ours, server, load, seconds, jpeg)
    for name in peers:
        for load in PEER_LOADS[name]:
            made[key(name, load)] = partial(film_peer, name, model, out / "logs" / f"{name}.log", load, seconds, jpeg)
    return made


def key(name: str, load: tuple[int, float]) -> str:
    """Name a way."""
    return f"{name} | {load[0]} | {load[1]:g}"


def summary(rounds: list[dict[str, Any]], seconds: float) -> dict[str, Any]:
    """Ages over all streams, the worst stream's 95th percentile, and how evenly answers are shared."""
    streams = [stream for one in rounds for stream in one["streams"]]
    ages = [stream["ages"] for stream in streams]
    answered = [sum(len(stream["ages"]) for stream in one["streams"]) / seconds for one in rounds]
    p95 = [percentiles(one)["p95"] for one in ages]
    memory = [one["memory_mb"] for one in rounds if "memory_mb" in one]
    return {
        "age_ms": percentiles(age for one in ages for age in one),
        "worst_p95_ms": None if None in p95 else max(p95),
        "per_second": spread(answered),
        "answered_share": spread([len(stream["ages"]) / stream["offered"] for stream in streams]),
        "outcomes": added(stream["outcomes"] for stream in streams),
        "memory_mb": spread(memory) if memory else None,
    }


def added(counts: Any) -> dict[str, int]:
    """Add counts up."""
    total: dict[str, int] = {}
    for one in counts:
        for name, count in one.items():
            total[name] = total.get(name, 0) + count
    return total


def available(peers: Sequence[str], model: Path, out: Path) -> tuple[list[str], dict[str, str]]:
    """Those that a camera can stream to, once their environments are there, and the others with the reason."""
    there, missing = [], {}
    for name in peers:
        try:
            film_peer(name, model, out / "logs" / f"{name}.log", TRIAL, TRIAL_SECONDS, frame())
            there.append(name)
        except QuadfollowError as error:
            missing[name] = str(error).splitlines()[0]
    return there, missing


def table(result: dict[str, Any]) -> str:
    """Lay out the figures."""
    head = ["server", "cameras", "Hz each", "answers/s", "age p50, ms", "p95", "p99", "worst camera's p95"]
    head += ["answered per camera: median [least, most]", "memory, MB"]
    rows = []
    for name, way in result["figures"]["ways"].items():
        ages = [*(results.number(way["age_ms"][share]) for share in ("p50", "p95")), results.tail(way["age_ms"])]
        shares = {part: 100 * value for part, value in way["answered_share"].items()}
        cells = [results.number(way["per_second"]["median"]), *ages, results.number(way["worst_p95_ms"])]
        rows.append([*name.split(" | "), *cells, results.ranged(shares, 0) + " %", results.ranged(way["memory_mb"], 0)])
    return results.table(head, rows)


@click.command()
@click.option("--model", default=DEFAULT_MODEL, show_default=True, help="Shipped model that is served.")
@click.option("--device", default="auto", show_default=True, help="Ours; the others run onnxruntime on the CPU.")
@click.option("--rounds", default=4, show_default=True)
@click.option("--seconds", default=5.0, show_default=True, help="Length of one turn.")
@click.option("--peer", "peers", multiple=True, type=click.Choice(list(PEER_LOADS)), default=tuple(PEER_LOADS))
@results.out_option
def main(model: str, device: str, rounds: int, seconds: float, peers: tuple[str, ...], out: Path) -> None:
    """Measure live streams."""

    def measure() -> dict[str, Any]:
        path, folder = find_model(model).resolve(), out.resolve()
        there, missing = available(peers, path, folder)
        with Ours(folder / "logs" / "ours.log", ("--model", path, "--device", device)) as server:
            served = server.model(path)
            taken = in_turns(ways(path, server, there, seconds, folder), rounds, warm_up=0)
        return {
            "served": served,
            "missing": missing,
            "ways": {name: summary(one, seconds) for name, one in taken.items()},
        }

    options = {"model": model, "device": device, "rounds": rounds, "seconds": seconds}
    click.echo(table(results.run(f"{NAME}-{find_model(model).stem}", out, options, measure)))


if __name__ == "__main__":
    main()
