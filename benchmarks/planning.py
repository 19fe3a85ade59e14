"""What one frame costs a server: the figures that `quadfollow plan` calculates with.

``python benchmarks/planning.py [--gpu FILE]``: processor time per answered frame, which other work on the machine
stretches less than elapsed time; for each shipped model on one thread and for a network that costs nothing, by the
frame's size; and the bytes that a frame and its answer take. ``--gpu`` takes over what ``benchmarks/gpu.py`` found.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
from measuring import results
from measuring.frames import frame
from measuring.machine import describe
from measuring.null_server import null_network

from quadfollow_core import wire
from quadfollow_core.files import write_whole
from quadfollow_core.request import Result
from quadfollow_core.shipped import find_model
from quadfollow_core.stream_client import StreamClient
from quadfollow_server.running import RunningServer
from quadfollow_server.segmenter import Segmenter
from quadfollow_server.settings import Settings

FIGURES = results.ROOT / "server" / "quadfollow_server" / "plan.json"
SIZES = ((256, 256), (640, 480), (1280, 720))
MODELS = ("follow-256", "follow-160", "seed")
ANY_PORTS = {"port": 0, "zmq_port": 0, "pub_port": 0}
WARM_UP = 5


def named(size: tuple[int, int]) -> str:
    """Write a size."""
    return f"{size[0]}x{size[1]}"


def servers() -> Iterator[tuple[str, Settings, Sequence[Segmenter]]]:
    """The servers that are weighed: what they are called, and how they are started."""
    for model in MODELS:
        yield model, Settings((str(find_model(model)),), device="cpu", threads=1, **ANY_PORTS), ()
    yield "no network", Settings(**ANY_PORTS), [null_network()]


def cost(server: RunningServer, image: bytes, frames: int) -> float:
    """Milliseconds of processor time per answer: of all threads but this one, which is the client's."""
    with StreamClient(server.address, stream="plan", timeout=60.0) as client:

        def ask(number: int) -> None:
            for _ in range(number):
                client.offer(image, want=["target", "track"])
                assert [fate.outcome for fate in client.poll(60.0)] == ["result"]

        ask(WARM_UP)
        before = time.process_time() - time.thread_time()
        ask(frames)
        return 1000 * (time.process_time() - time.thread_time() - before) / frames


def costs(images: dict[str, bytes], frames: int) -> dict[str, dict[str, float]]:
    """Each server's cost per frame, by the frame's size."""
    found = {}
    for name, settings, segmenters in servers():
        with RunningServer(settings, segmenters) as server:
            found[name] = {size: round(cost(server, image, frames), 2) for size, image in images.items()}
        click.echo(f"{name}: {found[name]}", err=True)
    return found


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
    measured = {model: found[f"model {model}"] for model in MODELS if f"model {model}" in found}
    times = {model: one["variants"]["graph"]["p50_ms"] for model, one in measured.items()}
    card = found["machine"]["accelerator"]["NVIDIA driver"].partition("; ")[2]
    return {"card": card, "command": "python benchmarks/gpu.py", "network_ms": times}


@click.command()
@click.option("--frames", default=100, show_default=True, help="How many of each size are answered.")
@click.option("--gpu", type=click.Path(path_type=Path, exists=True), help="Results of benchmarks/gpu.py.")
def main(frames: int, gpu: Path | None) -> None:
    """Measure, and write the figures beside the program."""
    images = {named(size): frame(size) for size in SIZES}
    before = json.loads(FIGURES.read_text()).get("gpu") if FIGURES.exists() else None
    told = {
        "processor": {
            "machine": describe(),
            "command": "python benchmarks/planning.py",
            "others_load": results.others_load(),
            "core_ms": costs(images, frames),
        },
        "bytes": {"frame": {size: len(image) for size, image in images.items()}, "answer": answer_bytes()},
        "gpu": before if gpu is None else gpu_costs(gpu),
    }
    write_whole(FIGURES, json.dumps(told, indent=1) + "\n")
    click.echo(f"wrote {FIGURES}", err=True)


if __name__ == "__main__":
    main()
