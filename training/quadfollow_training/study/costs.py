"""What a network costs to run: parameters, multiply-accumulates, and milliseconds on one CPU thread."""

from __future__ import annotations

import contextlib
import tempfile
import time
import warnings
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnxruntime

from quadfollow_core.errors import Unavailable
from quadfollow_training.describe import count_macs, describe
from quadfollow_training.fcn import Spec, build
from quadfollow_training.study.classifier import build_classifier

RUNS = 60


@cache
def costs(spec: Spec, *, classifier: bool = False) -> dict[str, Any]:
    """Count and time a specification's network, or the classifier with its encoders, on one frame.

    The time is the CPU time of onnxruntime's one thread, the least of ``RUNS`` answers, as Keras exports the network
    to ONNX and without the rewrites of ``quadfollow export``. CPU time, and the least of it, because other work on the
    machine only ever adds.

    Raises:
        Unavailable: the exporter is not installed.
    """
    require_exporter()
    network = build_classifier(spec) if classifier else build(spec)
    macs = _classifier_macs(network) if classifier else describe(network).macs
    return {"parameters": network.count_params(), "macs": macs, "latency_ms": latency(network)}


def require_exporter() -> None:
    """Say what to install where networks cannot be exported to be timed."""
    if find_spec("tf2onnx") is None:
        raise Unavailable('the study times networks as ONNX, which needs tf2onnx: pip install "quadfollow[export]"')


def _classifier_macs(network: keras.Model) -> int:
    convolutions = sum(count_macs(layer) for layer in network.layers if len(layer.output.shape) == 4)
    dense = sum(int(np.prod(layer.kernel.shape)) for layer in network.layers if isinstance(layer, keras.layers.Dense))
    return convolutions + dense


def latency(network: keras.Model) -> float:
    """Milliseconds of CPU that onnxruntime takes for one frame on one thread, at its fastest."""
    frame = np.zeros((1, *network.input_shape[1:]), dtype=np.uint8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(_as_onnx(network, frame), options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: frame}
    return round(min(_seconds(session, feed) for _ in range(RUNS)) * 1000, 2)


def _as_onnx(network: keras.Model, frame: Any) -> bytes:
    network(frame)  # Keras exports only what was called
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), contextlib.redirect_stdout(None):
        warnings.simplefilter("ignore")  # tf2onnx's, of NumPy
        path = Path(folder) / "network.onnx"
        network.export(path, format="onnx", verbose=False)
        return path.read_bytes()


def _seconds(session: Any, feed: dict[str, Any]) -> float:
    started = time.thread_time()  # a session of one thread computes in the caller's
    session.run(None, feed)
    return time.thread_time() - started
