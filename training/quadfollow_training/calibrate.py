"""Calibration: take back from the target's logit what lopsided sampling has put into it.

A network trained on crops in which targets are many and weigh more expects targets everywhere. Where classes were
resampled, the posterior is off by a constant factor, which is a constant added to the class's logit (Saerens, Latinne
and Decaestecker, "Adjusting the outputs of a classifier to new a priori probabilities", 2002). The constant is chosen
by the held-out score and goes into the last layer's bias, so the official threshold stays as it is.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from quadfollow_core.errors import BadInput
from quadfollow_core.resize import TARGET
from quadfollow_core.scoring import Score
from quadfollow_training.frames import Frames, open_frames
from quadfollow_training.holdout import held_out_scores
from quadfollow_training.rundir import RunFolder, save_whole

OFFSETS = tuple(float(value) for value in np.arange(0, -4.25, -0.5))
"""Constants tried on the target's logit."""


def calibrate_run(folder: RunFolder, data: Sequence[Path]) -> dict[str, Any]:
    """Calibrate a finished run's best network on the runs it held out; see :func:`calibrate`.

    Raises:
        BadInput: the folder holds no finished run, or the run held nothing out.
        BadDataset: files that cannot be used, all of them named.
    """
    if not (folder.best.is_file() and folder.config.is_file()):
        raise BadInput(f"no run to calibrate in {folder.path}: train one first")
    config = json.loads(folder.config.read_text(encoding="utf-8"))
    frames = open_frames(data, config["recipe"]["folders"])
    _, held_out = frames.split(config["held_out_runs"])
    return calibrate(folder, held_out)


def calibrate(folder: RunFolder, held_out: Frames) -> dict[str, Any]:
    """Write ``calibrated.keras`` beside the run's best network, and what was tried to ``calibration.json``.

    Raises:
        BadInput: nothing was held out to calibrate on.
    """
    if not len(held_out):
        raise BadInput("calibration needs held-out runs: it must not choose on what the network has learnt")
    network = keras.models.load_model(folder.best, compile=False)
    _, height, width, _ = network.input_shape
    scores = held_out_scores(_shifting(network), held_out, (width, height), len(OFFSETS))
    tried = dict(zip(OFFSETS, scores, strict=True))
    chosen = max(tried, key=lambda offset: (tried[offset].final, offset))
    add_to_target_logit(network, chosen)
    save_whole(folder.calibrated, network.save)
    report = {
        "offset": chosen,
        "runs": held_out.runs,
        "tried": [_row(offset, score) for offset, score in tried.items()],
    }
    text = json.dumps(report, indent=2) + "\n"
    save_whole(folder.path / "calibration.json", lambda path: path.write_text(text, encoding="utf-8"))
    return report


def shift(probabilities: NDArray[np.float32], offset: float) -> NDArray[np.float32]:
    """Return what ``[N, H, W, 3]`` softmax outputs become when ``offset`` is added to the target's logit."""
    factors = np.ones(probabilities.shape[-1], dtype=np.float32)
    factors[TARGET] = np.exp(offset)
    weighted = probabilities * factors
    return np.asarray(weighted / weighted.sum(axis=-1, keepdims=True))


def add_to_target_logit(network: keras.Model, offset: float) -> None:
    """Add a constant to the bias that the last layer gives the target."""
    layer = network.get_layer("probabilities")
    kernel, bias = layer.get_weights()
    bias[TARGET] += offset
    layer.set_weights([kernel, bias])


def _shifting(network: keras.Model) -> Any:
    def predict(images: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        probabilities = np.asarray(network.predict_on_batch(images))
        return [shift(probabilities, offset) for offset in OFFSETS]

    return predict


def _row(offset: float, score: Score) -> dict[str, float]:
    return {"offset": offset, "held_out_final": score.final, "fp": score.fp, "fn": score.fn}
