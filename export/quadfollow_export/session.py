"""Running an exported model for the checks: on the CPU, in batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from quadfollow_core.contract import INPUT
from quadfollow_core.errors import Unavailable
from quadfollow_core.openvino_import import import_openvino

Frames = NDArray[np.uint8]
"""``[N, H, W, 3]`` RGB at the model's size."""
Predictor = Callable[[Frames], list[NDArray[Any]]]
"""Answers a batch of frames with one array per output."""

BATCH = 8


def open_session(model: bytes, threads: int = 0) -> Predictor:
    """Open a serialised model; ``threads`` 0 leaves their number to onnxruntime."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def predict(frames: Frames) -> list[NDArray[Any]]:
        answers: list[NDArray[Any]] = session.run(None, {INPUT: frames})
        return answers

    return predict


def open_openvino(model: bytes) -> Predictor:
    """Open a serialised model with OpenVINO, which serves the variants in 8-bit integers and rounds in its own way.

    Raises:
        Unavailable: it is not installed.
    """
    try:
        openvino = import_openvino()
    except ImportError as error:
        raise Unavailable(
            "variants in 8-bit integers are proven by what serves them: pip install 'quadfollow[openvino]'"
        ) from error
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(model=model), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def predict(frames: Frames) -> list[NDArray[Any]]:
        return [answer.copy() for answer in compiled(frames).values()]

    return predict


def in_batches(predict: Predictor, frames: Frames, batch: int = BATCH) -> list[NDArray[Any]]:
    """Answer any number of frames, a batch at a time."""
    answers = [predict(frames[start : start + batch]) for start in range(0, len(frames), batch)]
    return [np.concatenate(parts) for parts in zip(*answers, strict=True)]
