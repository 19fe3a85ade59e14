"""Where one frame's time goes inside the server: decode, resize, infer, locate, encode, and the doors' own parsing.

``python benchmarks/stages.py``: frames of several sizes go through the server's own hot path, in this process, one
after the other; sizes and models take turns.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
from measuring import results
from measuring.frames import frame
from measuring.models import chosen, model_option
from measuring.summaries import percentiles
from measuring.turns import in_turns

from quadfollow_core import wire
from quadfollow_core.codec import MAX_PIXELS
from quadfollow_server.engine import load_model
from quadfollow_server.pipeline import Stopwatch, process
from quadfollow_server.segmenter import Segmenter

NAME = "stages"
SIZES = ((256, 256), (640, 480), (1280, 720))
WANTS = {"target": ["target"], "target and mask as PNG": ["target", "mask:png"]}
STAGES = ("parse_ms", "decode_ms", "resize_ms", "infer_ms", "locate_ms", "encode_ms", "write_ms")


def through(segmenter: Segmenter, message: list[Any], calls: int) -> list[dict[str, float]]:
    """Take a request's parts through the pipeline; milliseconds per stage and call."""
    laps = []
    for _ in range(calls):
        watch = Stopwatch()
        request = wire.decode_request(message)
        watch.lap("parse_ms")
        assert not isinstance(request, wire.Ping)
        result = process(request, segmenter, max_pixels=MAX_PIXELS)
        watch.lap("all")
        wire.encode_reply(result)
        watch.lap("write_ms")
        del watch.laps["all"]
        laps.append(watch.laps | result.body["timings"])
    return laps


def ways(segmenters: list[Segmenter], calls: int) -> dict[str, Callable[[], list[dict[str, float]]]]:
    """Every model with every size and every kind of answer."""
    made: dict[str, Callable[[], list[dict[str, float]]]] = {}
    for segmenter in segmenters:
        for size in SIZES:
            for want, names in WANTS.items():
                parts = wire.encode_request({"id": 1, "want": names}, frame(size))
                message = [memoryview(part) for part in parts]
                key = f"{segmenter.contract.name} | {size[0]}x{size[1]} | {want}"
                made[key] = partial(through, segmenter, message, calls)
    return made


def summary(rounds: list[list[dict[str, float]]]) -> dict[str, Any]:
    """Percentiles of each stage and of their sum."""
    laps = [lap for one in rounds for lap in one]
    stages = {stage: percentiles(lap[stage] for lap in laps) for stage in STAGES}
    return stages | {"sum_ms": percentiles(sum(lap[stage] for stage in STAGES) for lap in laps)}


def table(result: dict[str, Any]) -> str:
    """Lay out the medians."""
    head = ["model", "frame", "answer", *(stage.removesuffix("_ms") for stage in STAGES), "sum"]
    rows = [
        [*key.split(" | "), *(results.number(stages[stage]["p50"], 3) for stage in (*STAGES, "sum_ms"))]
        for key, stages in result["figures"]["ways"].items()
    ]
    return results.table(head, rows)


@click.command()
@model_option
@click.option("--device", default="auto", show_default=True)
@click.option("--rounds", default=10, show_default=True)
@click.option("--calls", default=20, show_default=True, help="Frames in a row before the next way's turn.")
@results.out_option
def main(models: tuple[str, ...], device: str, rounds: int, calls: int, out: Path) -> None:
    """Measure the pipeline's stages."""
    paths = chosen(models)
    segmenters: list[Segmenter] = [load_model(path, device) for path in paths]

    def measure() -> dict[str, Any]:
        taken = in_turns(ways(segmenters, calls), rounds)
        devices = {segmenter.contract.name: segmenter.device.provider for segmenter in segmenters}
        return {"devices": devices, "ways": {name: summary(one) for name, one in taken.items()}}

    click.echo(table(results.run(NAME, out, {"rounds": rounds, "calls": calls}, measure)))


if __name__ == "__main__":
    main()
