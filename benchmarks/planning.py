"""What one frame costs a server: the figures that `quadfollow plan` calculates with.

``python benchmarks/planning.py [--gpu FILE]``: processor time per answered frame (it depends less than elapsed time on
what else the machine does), for each shipped model and for a network that costs nothing, by the frame's size; and the
bytes that a frame and its answer take. ``--gpu`` takes over what ``benchmarks/gpu.py --json`` found on a GPU.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from statistics import median
from typing import Any

import click
from measuring import results
from measuring.frames import frame
from measuring.machine import describe
from measuring.servers import Ours, put_load, zmq_plan, zmq_request
from measuring.turns import in_turns

from quadfollow_core import wire
from quadfollow_core.files import write_whole
from quadfollow_core.request import Result
from quadfollow_core.shipped import find_model

FIGURES = results.ROOT / "server" / "quadfollow_server" / "plan.json"
SIZES = ((256, 256), (640, 480), (1280, 720))
MODELS = ("follow-256", "seed")
STREAMS = 4


def named(size: tuple[int, int]) -> str:
    """Write a size."""
    return f"{size[0]}x{size[1]}"


picture = cache(frame)


def cost(server: Ours, size: tuple[int, int], seconds: float) -> float:
    """Milliseconds of processor time per answer, with several streams that ask again once they are answered."""
    asked = zmq_request(picture(size), encoding="jpeg", want=["target", "track"])
    before = server.cpu_seconds
    load = put_load(zmq_plan(server.zmq_port, asked, clients=STREAMS, seconds=seconds))
    return 1000 * (server.cpu_seconds - before) / max(1, load["asked"])


def costs(log: Path, options: Sequence[object] | None, rounds: int, seconds: float) -> dict[str, float]:
    """One server's cost per frame, by the frame's size."""
    with Ours(log, options) as server:
        taken = in_turns({named(size): partial(cost, server, size, seconds) for size in SIZES}, rounds, warm_up=0)
    return {name: round(median(values), 2) for name, values in taken.items()}


def served() -> Iterator[tuple[str, Sequence[object] | None]]:
    """The servers that are weighed: what they are called, and how they are started."""
    for model in MODELS:
        yield model, ("--device", "cpu", "--model", find_model(model).resolve())
    yield "no network", None


def answer_bytes() -> int:
    """Bytes of an answer with target, track, people and timings."""
    stages = {f"{stage}_ms": 0.123 for stage in ("queue", "decode", "resize", "infer", "locate", "track", "encode")}
    target = {"centroid": [123.4, 123.4], "box": [100, 100, 120, 140], "area": 800, "confidence": 0.987}
    track = {"state": "following", "position": [1.234] * 3, "velocity": [1.234] * 3, "age": 0.05}
    body = {"type": "result", "id": 1234, "stream": "front", "captured_at": 1.7e9, "model": "follow-256"}
    body |= {"frame": {"width": 640, "height": 480}, "target": target, "people": [target] * 3, "track": track}
    return sum(len(part) for part in wire.encode_reply(Result(body | {"timings": stages, "held_ms": 1.234})))


def gpu_costs(path: Path) -> dict[str, Any]:
    """The network's time per frame on a GPU, by model, of the fastest variant with 32-bit floats."""
    found = json.loads(path.read_text())
    times = {model: found[f"model {model}"]["variants"]["graph"]["p50_ms"] for model in MODELS}
    card = found["machine"]["accelerator"]["NVIDIA driver"].partition("; ")[2]
    return {"card": card, "command": "python benchmarks/gpu.py --json", "network_ms": times}


@click.command()
@click.option("--rounds", default=3, show_default=True)
@click.option("--seconds", default=1.0, show_default=True, help="Length of one turn.")
@click.option("--gpu", type=click.Path(path_type=Path, exists=True), help="Results of benchmarks/gpu.py.")
@click.option("--only-gpu", is_flag=True, help="Measure nothing here, keep the processor's figures.")
def main(rounds: int, seconds: float, gpu: Path | None, only_gpu: bool) -> None:
    """Measure, and write the figures beside the program."""
    told = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    if not only_gpu:
        logs = Path("out/bench/logs").resolve()
        told["processor"] = {
            "machine": describe(),
            "command": "python benchmarks/planning.py",
            "others_load": results.others_load(),
            "core_ms": {name: costs(logs / f"{name}.log", options, rounds, seconds) for name, options in served()},
        }
        told["bytes"] = {"frame": {named(size): len(picture(size)) for size in SIZES}, "answer": answer_bytes()}
    told["gpu"] = told.get("gpu") if gpu is None else gpu_costs(gpu)
    write_whole(FIGURES, json.dumps(told, indent=1) + "\n")
    click.echo(f"wrote {FIGURES}", err=True)


if __name__ == "__main__":
    main()
