"""What one frame costs a server: the figures that `quadfollow plan` calculates with.

``python benchmarks/planning.py [--gpu FILE]``: processor time per answered frame, which other work on the machine
stretches less than elapsed time; for each shipped model on one thread and for a network that costs nothing, by the
frame's size, each server a process of its own and all taking turns; and the bytes that a frame and its answer take.
``--gpu`` takes over what ``benchmarks/gpu.py`` found.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import click
from measuring import results
from measuring.frames import frame
from measuring.machine import describe, others_load, watching
from measuring.servers import Ours, weighed, zmq_plan, zmq_request
from measuring.summaries import spread
from measuring.turns import in_turns

from quadfollow_core import wire
from quadfollow_core.errors import Unavailable
from quadfollow_core.files import write_whole
from quadfollow_core.request import Result
from quadfollow_core.shipped import find_model
from quadfollow_server.variants import VARIANTS

FIGURES = results.ROOT / "server" / "quadfollow_server" / "plan.json"
SIZES = ((256, 256), (640, 480), (1280, 720))
MODELS = ("follow-256", "follow-160", "seed")


def named(size: tuple[int, int]) -> str:
    """Write a size."""
    return f"{size[0]}x{size[1]}"


def servers() -> dict[str, Sequence[object] | None]:
    """The servers that are weighed, with their options; the last is one whose network costs nothing."""
    options = ("--device", "cpu", "--threads", 1)
    return {model: ("--model", find_model(model).resolve(), *options) for model in MODELS} | {"no network": None}


def cost(server: Ours, image: bytes, seconds: float) -> float:
    """Milliseconds of the server's processor time per answer to one client.

    Raises:
        Unavailable: it did not answer every frame.
    """
    request = zmq_request(image, encoding="jpeg", stream="plan", want=["target", "track"])
    load = weighed(server, zmq_plan(server.zmq_port, request, seconds=seconds))
    if load["errors"]:
        raise Unavailable(f"{load['errors']} frames were not answered")
    return float(load["server_cpu_ms"])


def costs(images: dict[str, bytes], rounds: int, seconds: float) -> dict[str, dict[str, dict[str, float]]]:
    """Each server's cost per frame, by the frame's size."""
    logs = results.OUT.resolve() / "logs"
    with ExitStack() as stack:
        up = {
            name: stack.enter_context(Ours(logs / f"planning-{name.replace(' ', '-')}.log", options))
            for name, options in servers().items()
        }
        ways = {
            f"{name} | {size}": partial(cost, server, image, seconds)
            for name, server in up.items()
            for size, image in images.items()
        }
        taken = in_turns(ways, rounds, warm_up=0)
        return {name: {size: spread(taken[f"{name} | {size}"]) for size in images} for name in up}


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
    whole = {variant.name for variant in VARIANTS["cuda"] if variant.coarseness == 0}
    measured = {model: found.get(f"model {model}", {}).get("variants", {}) for model in MODELS}
    times = {
        model: min(one["p50_ms"] for name, one in variants.items() if name in whole)
        for model, variants in measured.items()
        if whole & variants.keys()
    }
    card = found["machine"]["accelerator"]["NVIDIA driver"].partition("; ")[2]
    return {"card": card, "command": "python benchmarks/gpu.py", "network_ms": times}


@click.command()
@click.option("--rounds", default=4, show_default=True)
@click.option("--seconds", default=3.0, show_default=True, help="Length of one turn.")
@click.option("--gpu", type=click.Path(path_type=Path, exists=True), help="Results of benchmarks/gpu.py.")
def main(rounds: int, seconds: float, gpu: Path | None) -> None:
    """Measure, and write the figures beside the program."""
    results.end_in_order()
    images = {named(size): frame(size) for size in SIZES}
    kept = json.loads(FIGURES.read_text()).get("gpu") if FIGURES.exists() else None
    on_gpu = kept if gpu is None else gpu_costs(gpu)
    machine, before = describe(), others_load()
    with watching() as meanwhile:
        found = costs(images, rounds, seconds)
    told = {
        "processor": {
            "machine": machine,
            "command": "python benchmarks/planning.py",
            "others_load": before,
            "meanwhile": meanwhile,
            "core_ms": {
                name: {size: round(one["median"], 2) for size, one in of.items()} for name, of in found.items()
            },
            "rounds": found,
        },
        "bytes": {"frame": {size: len(image) for size, image in images.items()}, "answer": answer_bytes()},
        "gpu": on_gpu,
    }
    write_whole(FIGURES, json.dumps(told, indent=1) + "\n")
    click.echo(f"wrote {FIGURES}", err=True)


if __name__ == "__main__":
    main()
