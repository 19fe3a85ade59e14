"""What was tried to make an answer faster, and what it gave: one small experiment each, its ways taking turns.

``python benchmarks/tried.py``: of each experiment the first way is the one that is in use. A ratio above 1 says how
many times as long another way takes. What did not help is kept here, so that nobody has to try it again.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
import onnx
import onnxruntime
import orjson
import simplejpeg
from measuring import results
from measuring.frames import frame
from measuring.summaries import percentiles, ratio
from measuring.turns import in_turns, timed
from PIL import Image

from quadfollow_core.codec import decode_image, encode_png, encode_rle
from quadfollow_core.resize import fit_frame
from quadfollow_core.shipped import DEFAULT_MODEL, find_model
from quadfollow_export.fuse import MOST_FILTERS, fuse
from quadfollow_export.lower import integers
from quadfollow_server.cores import bound_cores, inference_threads
from quadfollow_server.engine import load_model
from quadfollow_server.openvino import OpenVinoRunner

NAME = "tried"
Ways = dict[str, Callable[[], object]]


def sessions(model: Path) -> Ways:
    """How onnxruntime is asked to run the network on the CPU."""
    image = fit_frame(decode_image(frame()), _size(model))[0][None]
    cores = bound_cores()

    def run(**entries: str) -> Callable[[], object]:
        return partial(_open(model, cores, entries).run, None, {"image": image})

    return {
        "onnxruntime, all cores": run(),
        "one thread": partial(_open(model, 1, {}).run, None, {"image": image}),
        "IO binding, buffers kept": _bound(_open(model, cores, {}), image),
        "threads that do not spin": run(**{"session.intra_op.allow_spinning": "0"}),
        "threads that stop to spin after each frame": run(**{"session.force_spinning_stop": "1"}),
        "denormals flushed to zero": run(**{"session.set_denormal_as_zero": "1"}),
        "weights not packed beforehand": run(**{"session.disable_prepacking": "1"}),
        "graph not optimised": partial(_open(model, cores, {}, optimise=False).run, None, {"image": image}),
        "only the classes asked for": partial(_open(model, cores, {}).run, ["classes"], {"image": image}),
    }


def network(model: Path) -> Callable[[], object]:
    """One frame through the network as a server would run it here."""
    served = load_model(model, "auto")
    return partial(served.segment, fit_frame(decode_image(frame()), served.contract.size)[0])


def pairs(device: str, model: Path) -> Ways:
    """Two frames that wait: side by side on half of the cores each, or one after the other on all of them."""
    served = load_model(model, device, at_once=2)
    image = fit_frame(decode_image(frame()), served.contract.size)[0]
    pool = ThreadPoolExecutor(2)

    def both(*, alone: bool) -> None:
        for answer in [pool.submit(served.segment, image, alone=alone) for _ in range(2)]:
            answer.result()

    def in_turn() -> None:
        for _ in range(2):
            served.segment(image)

    return {
        "side by side, half of the cores each": partial(both, alone=False),
        "side by side, each on all cores": partial(both, alone=True),
        "one after the other, on all cores": in_turn,
    }


def eight_bits(model: Path) -> Ways:
    """The 8-bit variants through OpenVINO: which steps are multiplied out into one."""
    image = fit_frame(decode_image(frame()), _size(model))[0][None]
    whole = onnx.load(model)

    def run(graph: Any) -> Callable[[], object]:
        return partial(OpenVinoRunner(integers(graph, image).SerializeToString(), inference_threads()), image[0])

    return {
        "each step by itself: int8": run(whole),
        f"enlargement and separable convolutions to {MOST_FILTERS} filters in one: int8-fused": run(fuse(whole)),
        "half as many filters": run(fuse(whole, MOST_FILTERS // 2)),
        "twice as many filters": run(fuse(whole, 2 * MOST_FILTERS)),
    }


def decoders(_: Path) -> Ways:
    """A 256x256 JPEG to pixels."""
    jpeg = frame()
    return {
        "our decoder: simplejpeg, checked": lambda: decode_image(jpeg),
        "simplejpeg alone": lambda: simplejpeg.decode_jpeg(jpeg, "RGB"),
        "simplejpeg, fast DCT and upsampling": lambda: simplejpeg.decode_jpeg(
            jpeg, "RGB", fastdct=True, fastupsample=True
        ),
        "OpenCV": lambda: cv2.cvtColor(
            cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB
        ),
        "Pillow": lambda: np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB")),
    }


def large_frames(_: Path) -> Ways:
    """A 1280x720 JPEG to the 256x256 pixels of the network."""
    jpeg, size = frame((1280, 720)), (256, 256)
    return {
        "whole, then shrunk by area": lambda: fit_frame(decode_image(jpeg), size),
        "decoded at a quarter of its size": lambda: fit_frame(
            simplejpeg.decode_jpeg(jpeg, "RGB", min_height=180, min_width=320, min_factor=1), size
        ),
        "whole, then shrunk bilinearly": lambda: cv2.resize(decode_image(jpeg), size, interpolation=cv2.INTER_LINEAR),
    }


def masks(_: Path) -> Ways:
    """A class mask on its way out."""
    mask = np.zeros((256, 256), np.uint8)
    mask[90:150, 100:130], mask[80:160, 180:200] = 2, 1
    return {
        "PNG by OpenCV": lambda: encode_png(mask),
        "PNG by Pillow": lambda: Image.fromarray(mask).save(io.BytesIO(), "PNG"),
        "run lengths": lambda: encode_rle(mask),
        "list of pixels in JSON": lambda: json.dumps(mask.tolist()),
    }


def searches(_: Path) -> Ways:
    """The patches of a mask, by OpenCV: its search is its only parallel one on the way of a frame."""
    mask = np.zeros((256, 256), np.uint8)
    mask[90:198, 100:136] = 1

    def search(threads: int) -> None:
        cv2.setNumThreads(threads)
        cv2.connectedComponentsWithStats(mask[90:198, 100:136], connectivity=8)

    return {f"{count} threads": partial(search, count) for count in (1, 2)}


def texts(_: Path) -> Ways:
    """An answer without a camera, written as JSON."""
    target = {"centroid": [120.51234, 99.12345], "box": [100.0, 50.0, 140.0, 150.0], "area": 2345.0, "distance": None}
    body = {"id": 17, "stream": "", "captured_at": 1790000000.123456, "target": target, "held_ms": 7.612}
    return {
        "orjson": lambda: orjson.dumps(body),
        "Python's own json": lambda: json.dumps(body, separators=(",", ":")).encode(),
    }


EXPERIMENTS: dict[str, Callable[[Path], Ways]] = {
    "The network": sessions,
    "8-bit integers, OpenVINO": eight_bits,
    "Two frames at once, onnxruntime": partial(pairs, "cpu"),
    "Two frames at once, OpenVINO": partial(pairs, "openvino"),
    "Decoding": decoders,
    "Frames larger than the network": large_frames,
    "The mask": masks,
    "Searching a mask, just after a frame": searches,
    "JSON, just after a frame": texts,
}
AFTER_A_FRAME = (searches, texts)
"""What comes behind the network, which leaves the processor's caches full of its own."""


def _size(model: Path) -> tuple[int, int]:
    from quadfollow_server.model_file import read_contract

    return read_contract(model).size


def _open(model: Path, threads: int, entries: dict[str, str], *, optimise: bool = True) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    for name, value in entries.items():
        options.add_session_config_entry(name, value)
    if not optimise:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _bound(session: onnxruntime.InferenceSession, image: Any) -> Callable[[], object]:
    binding = session.io_binding()
    answers = [np.zeros(image.shape[:3], np.uint8) for _ in session.get_outputs()]
    binding.bind_input("image", "cpu", 0, np.uint8, image.shape, image.ctypes.data)
    for output, answer in zip(session.get_outputs(), answers, strict=True):
        binding.bind_output(output.name, "cpu", 0, np.uint8, answer.shape, answer.ctypes.data)

    def run() -> object:
        session.run_with_iobinding(binding)
        return answers  # they must live as long as they are bound

    return run


def summary(taken: dict[str, list[list[float]]]) -> dict[str, Any]:
    """Milliseconds of each way, and how many times as long as the first one it takes, round by round."""
    medians = {name: [percentiles(times)["p50"] for times in rounds] for name, rounds in taken.items()}
    first, *_ = medians.values()
    return {
        name: {"ms": percentiles(time for times in rounds for time in times), "times": ratio(medians[name], first)}
        for name, rounds in taken.items()
    }


def table(result: dict[str, Any]) -> str:
    """Lay out one table per experiment."""
    parts = []
    for name, ways in result["figures"]["experiments"].items():
        head = [name, "p50, ms", "times as long as what is in use"]
        rows = [[way, results.number(one["ms"]["p50"], 3), results.ranged(one["times"])] for way, one in ways.items()]
        parts.append(results.table(head, rows))
    return "\n".join(parts)


@click.command()
@click.option("--model", default=DEFAULT_MODEL, show_default=True)
@click.option("--rounds", default=9, show_default=True)
@click.option("--calls", default=20, show_default=True, help="Calls in a row before the next way's turn.")
@results.out_option
def main(model: str, rounds: int, calls: int, out: Path) -> None:
    """Try everything once more."""
    path = find_model(model)

    def measure() -> dict[str, Any]:
        return {"experiments": {name: tried(make) for name, make in EXPERIMENTS.items()}}

    def tried(make: Callable[[Path], Ways]) -> dict[str, Any]:
        before = network(path) if make in AFTER_A_FRAME else lambda: None
        return summary(in_turns({name: timed(way, calls, before) for name, way in make(path).items()}, rounds))

    click.echo(table(results.run(NAME, out, {"model": model, "rounds": rounds, "calls": calls}, measure)))


if __name__ == "__main__":
    main()
