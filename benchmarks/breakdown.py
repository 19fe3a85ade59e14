"""Where one answer's time goes, from the client's call to its return, and which code of the server takes it.

``python benchmarks/breakdown.py``: one client asks for one frame after the other, by the doors in turns. Each answer
carries the server's own timings; what is left of the time that the client measures is sockets, event loop and the
client itself. Then py-spy samples which code of the server holds the interpreter, one door after the other and twice
each: for the table and for the flame graph.
Inference and decoding do not show there, since they let the interpreter go.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
from measuring import results
from measuring.frames import frame
from measuring.http_client import HttpClient
from measuring.servers import Ours, jpeg_request
from measuring.summaries import percentiles, spread
from measuring.turns import in_turns

from quadfollow_core.errors import ServerGone, Unavailable
from quadfollow_core.shipped import DEFAULT_MODEL, find_model
from quadfollow_core.stream_client import StreamClient

NAME = "breakdown"
STAGES = ("queue_ms", "decode_ms", "resize_ms", "infer_ms", "locate_ms", "encode_ms")
RATE = 500
"""Samples per second."""
GROUPS = (
    ("around inference", ("onnxruntime", "openvino", "runners.py", "engine.py")),
    ("decode and resize", ("codec.py", "resize.py", "request.py")),
    ("locate and track", ("locate.py", "track", "kalman", "geometry.py")),
    ("metrics", ("metrics.py", "prometheus_client/")),
    ("traces and logs", ("traces.py", "frame_log.py", "opentelemetry/")),
    ("JSON", ("json/",)),
    ("answer made", ("pipeline.py", "_json (", "wire.py", "types.py")),
    ("HTTP: uvicorn", ("uvicorn/", "http_protocol")),
    ("HTTP: FastAPI and Starlette", ("fastapi/", "starlette/")),
    ("HTTP: our door", ("http_door", "http_request", "http_gate")),
    ("ZeroMQ: our door", ("zmq_door", "zmq/", "zmq_gate")),
    ("dispatcher and its thread", ("dispatch.py", "jobs.py", "room.py", "threading.py")),
    ("event loop", ("uvloop", "asyncio/")),
)
"""What a sampled stack counts as: the first group of which a part stands in it."""
Answer = dict[str, Any]


def ask_http(client: HttpClient, request: bytes) -> Answer:
    """Ask over HTTP and return the answer's body."""
    body: Answer = json.loads(client.ask(request))
    return body


def ask_stream(client: StreamClient, jpeg: bytes) -> Answer:
    """Ask over ZeroMQ and return the answer's body."""
    client.offer(jpeg, want=["target"])
    (fate,) = client.poll(30.0)
    return fate.body


def measured(ask: Callable[[], Answer], seconds: float) -> list[dict[str, float]]:
    """Ask for some seconds; milliseconds of each stage, of what else the server held the frame, and of the rest."""
    rows = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        started = time.perf_counter()
        body = ask()
        total = 1000 * (time.perf_counter() - started)
        if "timings" not in body:
            raise ServerGone(f"a frame was not answered: {body}")
        row = {stage: body["timings"].get(stage, 0.0) for stage in STAGES}
        within = body["held_ms"] - sum(row.values())
        rows.append(
            row | {"handed over_ms": within, "sockets and client_ms": total - body["held_ms"], "total_ms": total}
        )
    return rows[len(rows) // 10 :]


def sampled(server: Ours, ask: Callable[[], Answer], path: Path, seconds: int, *, form: str) -> None:
    """Sample the server's stacks while it answers: ``form`` is py-spy's ``raw`` or ``flamegraph``.

    Raises:
        Unavailable: py-spy may not look at other processes here, or is not installed.
    """
    worker = server.family()[-1].pid
    program = Path(sys.executable).with_name("py-spy")
    if not program.exists():
        raise Unavailable("py-spy is not installed")
    words = [program, "record", "--rate", RATE, "--duration", seconds, "--format", form, "--output", path]
    words += ["--gil", "--pid", worker]
    with tempfile.TemporaryFile("w+") as told:
        spy = subprocess.Popen([str(word) for word in words], stdout=told, stderr=subprocess.STDOUT)
        try:
            while spy.poll() is None:  # it takes a while to begin
                measured(ask, 0.1)
        finally:
            spy.terminate()
            spy.wait()
        if spy.returncode != 0:
            told.seek(0)
            raise Unavailable(f"py-spy failed (it needs the right to trace processes): {told.read()[-500:]}")


def grouped(folded: Path) -> dict[str, float]:
    """Share of the samples per group."""
    counts: Counter[str] = Counter()
    for line in folded.read_text().splitlines():
        stack, _, count = line.rpartition(" ")
        counts[group_of(stack)] += int(count)
    total = sum(counts.values()) or 1
    return {name: round(count / total, 4) for name, count in counts.most_common()}


def group_of(stack: str) -> str:
    """The group of one stack, looked for from its innermost call outwards."""
    for call in reversed(stack.split(";")):
        for name, parts in GROUPS:
            if any(part in call for part in parts):
                return name
    return "other"


def sample(server: Ours, door: str, ask: Callable[[], Answer], seconds: int, out: Path) -> dict[str, float]:
    """Sample one door's answers, and once more for the flame graph."""
    folded = out / f"{NAME}-{door}.folded"
    graph = folded.with_suffix(".svg")
    for path, form in ((folded, "raw"), (graph, "flamegraph")):
        sampled(server, ask, path, seconds, form=form)
    graph.write_text(graph.read_text().replace(f"{Path.cwd()}/", ""))  # its title is the command
    return grouped(folded)


def summary(rounds: list[list[dict[str, float]]]) -> dict[str, Any]:
    """Percentiles of each stage over all rounds, and how the rounds' medians spread."""
    names = {stage: stage.removesuffix("_ms") for stage in rounds[0][0]}
    pooled = {name: percentiles(row[stage] for rows in rounds for row in rows) for stage, name in names.items()}
    medians = {stage: [percentiles(row[stage] for row in rows)["p50"] for rows in rounds] for stage in names}
    return {"stages": pooled, "rounds": {name: spread(medians[stage]) for stage, name in names.items()}}


def median(door: dict[str, Any], stage: str) -> str:
    """A stage's median in microseconds, with its lowest and highest round where there were rounds."""
    if "rounds" not in door:
        return results.number(1000 * door["stages"][stage]["p50"], 0)
    return results.ranged({part: 1000 * value for part, value in door["rounds"][stage].items()}, 0)


def table(result: dict[str, Any]) -> str:
    """Lay out time by stage, then samples by group."""
    doors = result["figures"]["doors"]
    stages = next(iter(doors.values()))["stages"]
    rows = [[stage, *(median(door, stage) for door in doors.values())] for stage in stages]
    groups = list(dict.fromkeys(name for door in doors.values() for name in door["samples"]))
    shares = [
        [name, *(results.number(100 * door["samples"].get(name, 0)) for door in doors.values())] for name in groups
    ]
    return (
        results.table(["stage, µs at p50", *doors], rows)
        + "\n"
        + results.table(["who holds the interpreter, % of samples", *doors], shares)
    )


@click.command()
@click.option("--model", default=DEFAULT_MODEL, show_default=True)
@click.option("--device", default="auto", show_default=True)
@click.option("--rounds", default=4, show_default=True)
@click.option("--seconds", default=2, show_default=True, help="Length of one turn.")
@results.out_option
def main(model: str, device: str, rounds: int, seconds: int, out: Path) -> None:
    """Break one answer down."""
    jpeg = frame()

    def measure() -> dict[str, Any]:
        path = find_model(model).resolve()
        with (
            Ours(out.resolve() / "logs" / "breakdown.log", ("--model", path, "--device", device)) as server,
            StreamClient(server.address, timeout=30) as stream,
            HttpClient(server.port) as http,
        ):
            asks = {
                "ZeroMQ": partial(ask_stream, stream, jpeg),
                "HTTP": partial(ask_http, http, jpeg_request(jpeg)),
            }
            served = server.model(path)
            taken = in_turns({door: partial(measured, ask, seconds) for door, ask in asks.items()}, rounds)
            doors = {door: summary(rows) for door, rows in taken.items()}
            for door, ask in asks.items():
                doors[door]["samples"] = sample(server, door, ask, rounds * seconds, out.resolve())
            return {"served": served, "doors": doors}

    options = {"model": model, "device": device, "rounds": rounds, "seconds": seconds}
    click.echo(table(results.run(NAME, out, options, measure)))


if __name__ == "__main__":
    main()
