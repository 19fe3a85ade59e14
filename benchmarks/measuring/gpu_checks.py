"""What can be said of a device without a server: time and answers of each variant, and whether the device is in use."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from measuring.summaries import in_ms
from quadfollow_core.contract import INPUT
from quadfollow_core.errors import QuadfollowError
from quadfollow_core.shipped import lower_precision
from quadfollow_server.accelerator import CUDA_LIBRARIES
from quadfollow_server.device import PROVIDERS, open_session
from quadfollow_server.engine import OnnxSegmenter, load_model
from quadfollow_server.model_file import read_contract
from quadfollow_server.runners import BoundRunner, OwnThread, Runner
from quadfollow_server.variants import VARIANTS, Variant

Frames = Sequence[NDArray[np.uint8]]
_GRAPH = {"enable_cuda_graph": "1", "use_tf32": "0"}
OTHER_OPTIONS = {
    "graph, heuristic search": (_GRAPH | {"cudnn_conv_algo_search": "HEURISTIC"}, ""),
    "graph, NHWC": (_GRAPH | {"prefer_nhwc": "1"}, ""),
    "graph, TF32": (_GRAPH | {"use_tf32": "1"}, ""),
    "graph-fp16, NHWC": (_GRAPH | {"prefer_nhwc": "1"}, "fp16"),
}
"""Options of the CUDA provider that the server does not use, and in which precision they are tried."""
PROGRAM = "from quadfollow_core.cli import main; main()"
PATIENCE = 60.0
"""Seconds that ``doctor`` and ``serve`` may each take to say what is missing."""


def open_variants(path: Path, device: str, threads: int) -> tuple[dict[str, OnnxSegmenter], dict[str, str]]:
    """Open every variant of a model on a device; return those that run, and why the others do not."""
    opened, refused = {}, {}
    for variant in VARIANTS[device]:
        try:
            opened[variant.name] = load_model(path, device, threads, variant.name)
        except QuadfollowError as error:
            refused[variant.name] = str(error)
    return opened, refused


def time_other_options(path: Path, frames: Frames, seconds: float) -> dict[str, dict[str, Any]]:
    """Milliseconds of one frame on CUDA under options that the server does not use."""
    found: dict[str, dict[str, Any]] = {}
    for name, (options, precision) in OTHER_OPTIONS.items():
        variant = Variant(name, options, bound=True, captured=True, precision=precision)
        file = lower_precision(path, precision) if precision else path
        began = time.monotonic()
        try:
            runner = _runner(file, variant)
        except (OSError, QuadfollowError, RuntimeError) as error:
            found[name] = {"not there": str(error)}
            continue
        loading = round(time.monotonic() - began, 2)
        found[name] = {"loading_s": loading, **_time({name: runner}, frames, seconds)[name]}
    return found


def _runner(file: Path, variant: Variant) -> Runner:
    data, size = file.read_bytes(), read_contract(file).size
    return OwnThread(lambda: BoundRunner(open_session(data, "cuda", 0, variant), size, on_cuda=True))


def time_variants(opened: dict[str, OnnxSegmenter], frames: Frames, seconds: float) -> dict[str, dict[str, Any]]:
    """Milliseconds of one frame per variant, host memory to host memory, in turns of ten."""
    return _time({name: segmenter.segment for name, segmenter in opened.items()}, frames, seconds)


def _time(runners: Mapping[str, Runner], frames: Frames, seconds: float) -> dict[str, dict[str, Any]]:
    times: dict[str, list[float]] = {name: [] for name in runners}
    for run in runners.values():
        run(frames[0])
    end = time.monotonic() + seconds * len(runners)
    while time.monotonic() < end:
        for name, run in runners.items():
            for frame in (frames[index % len(frames)] for index in range(10)):
                started = time.perf_counter()
                run(frame)
                times[name].append(1000 * (time.perf_counter() - started))
    return {name: {"frames": len(values), **in_ms(values)} for name, values in times.items()}


def compare(reference: OnnxSegmenter, other: OnnxSegmenter, frames: Frames) -> dict[str, Any]:
    """Differences of the answers to the same frames; the control says what another frame's answer differs by."""
    expected, found = ([model.segment(frame) for frame in frames] for model in (reference, other))
    levels = [np.abs(one[1].astype(int) - two[1].astype(int)) for one, two in zip(expected, found, strict=True)]
    return {
        "frames": len(frames),
        "levels_of_target_probability": int(max(each.max() for each in levels)),
        "share_of_other_levels": float(np.mean([np.mean(each > 0) for each in levels])),
        "share_of_other_classes": _other_classes(expected, found),
        "control_share_of_other_classes": _other_classes(expected, found[1:] + found[:1]),
    }


def _other_classes(expected: Any, found: Any) -> float:
    return float(np.mean([np.mean(one[0] != two[0]) for one, two in zip(expected, found, strict=True)]))


def operators_per_provider(path: Path, device: str, frame: NDArray[np.uint8]) -> dict[str, dict[str, int]]:
    """Count the operators that onnxruntime's own profile says each provider ran, for one frame."""
    options = onnxruntime.SessionOptions()
    options.enable_profiling = True
    with tempfile.TemporaryDirectory() as folder:
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=list(PROVIDERS[device]))
        session.run(None, {INPUT: frame[None]})
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    ran = {
        (event["args"]["provider"], event["args"]["op_name"], event["name"])
        for event in events
        if event.get("cat") == "Node" and event.get("args", {}).get("provider")
    }
    found: dict[str, Counter[str]] = {}
    for provider, operator, _ in ran:
        found.setdefault(provider, Counter())[operator] += 1
    return {provider: dict(counted) for provider, counted in found.items()}


def hide_libraries(device: str, most: int) -> list[dict[str, Any]]:
    """Hide libraries of CUDA one at a time, and see how ``doctor`` and ``serve`` say so.

    They are hidden in copies of the folders in ``LD_LIBRARY_PATH``, so that must be where they are found.
    """
    folders = [Path(folder) for folder in os.environ.get("LD_LIBRARY_PATH", "").split(":") if Path(folder).is_dir()]
    files = [library.file for library in CUDA_LIBRARIES]
    there = [file for file in files if any((folder / file).exists() for folder in folders)]
    with tempfile.TemporaryDirectory() as root, ExitStack() as stack:
        begun = []
        for file in there[-most:]:
            begun.append(_Hidden(file, device, folders, Path(root) / file))
            stack.callback(begun[-1].end)
        return [one.outcome() for one in begun]


class _Hidden:
    """``doctor`` and ``serve``, begun without one library."""

    def __init__(self, file: str, device: str, folders: list[Path], shadow: Path) -> None:
        self.file = file
        shadow.mkdir()
        for folder in folders:
            for library in folder.iterdir():
                target = shadow / library.name
                if library.name != file and not target.exists():
                    target.symlink_to(library)
        (shadow / file).touch()  # unreadable as a library, so that no other folder is looked at
        environment = dict(os.environ) | {"LD_LIBRARY_PATH": str(shadow)}
        ports = ("--port=0", "--zmq-port=0", "--pub-port=0", "--no-supervisor")
        self._doctor = _run(["doctor", "--device", device, "--json"], environment)
        self._serve = _run(["serve", "--device", device, *ports], environment)

    def outcome(self) -> dict[str, Any]:
        """What both said."""
        told, _ = self._doctor.communicate(timeout=PATIENCE)
        try:
            _, log = self._serve.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self._serve.terminate()
            _, log = self._serve.communicate()
        findings = json.loads(told)["findings"] if told else []
        bad = [one["name"] for one in findings if not one["well"]]
        return {
            "hidden": self.file,
            "doctor": {"exit": self._doctor.returncode, "names": self.file in bad, "mend": bad},
            "serve": {"exit": self._serve.returncode, "names": self.file in log, "says": log.strip()[-300:]},
        }

    def end(self) -> None:
        """End what still runs."""
        for one in (self._doctor, self._serve):
            one.kill()
            one.communicate()


def _run(words: list[str], environment: dict[str, str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PROGRAM, *words]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
