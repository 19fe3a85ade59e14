"""The proof that the exported model is the network it came from, or the refusal to write it.

Both answer the same frames and must agree within stated tolerances. That alone would also hold for two models that
always say "background", so there is a negative control: mirrored frames and frames with red and blue swapped must be
answered differently.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quadfollow_core.errors import ExportRefused
from quadfollow_core.resize import TARGET, without_bars
from quadfollow_core.scoring import SetScore, threshold_channels, to_levels
from quadfollow_export.frames import Samples
from quadfollow_export.session import Frames, Predictor, in_batches

CONTROLS = {"mirrored": np.s_[:, :, ::-1], "red and blue swapped": np.s_[..., ::-1]}
TIE = 1e-6
"""Probabilities no further apart than this are equal: either class is right."""
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Tolerances:
    """Most that may differ; ``control`` is the least that a control must differ by."""

    probability: float = 1e-3
    class_share: float = 1e-4
    score: float = 1e-3
    batch: float = 1e-5
    control: float = 1e-2


@dataclass(frozen=True, slots=True)
class Parity:
    """What was measured on the same frames, Keras against ONNX."""

    frames: str
    """Where the frames come from."""
    probability: float
    """Largest difference of any class's probability at any pixel."""
    class_share: float
    """Share of pixels given another class."""
    level_share: float
    """Share of pixels whose ``target_probability`` is another of its 256 levels than Keras' floor(255·p)."""
    rounding: int
    """Pixels where ``target_probability`` is not floor(255·p) of the float variant's p."""
    decision: int
    """Pixels whose class is not the likeliest of the float variant; ties count as right."""
    batch: float
    """Largest difference between frames answered one by one and three at a time."""
    control: dict[str, float]
    """Per control, the largest difference of any probability from the answer to the plain frames."""
    target_iou: dict[str, float] | None
    """The target's mean IoU with the truth, of ``keras`` and ``onnx``; None without truth."""

    def faults(self, allowed: Tolerances) -> list[str]:
        """Name everything out of tolerance."""
        limits = {
            "largest probability difference": (self.probability, allowed.probability),
            "share of pixels with another class": (self.class_share, allowed.class_share),
            "pixels where target_probability is not floor(255 p)": (self.rounding, 0),
            "pixels whose class is not the likeliest": (self.decision, 0),
            "difference between batch sizes": (self.batch, allowed.batch),
            "difference of the target's IoU": (self.score_difference or 0.0, allowed.score),
        }
        faults = [
            f"{name} {found:.3g}, allowed {most:.3g}" for name, (found, most) in limits.items() if not found <= most
        ]
        faults += [
            f"the negative control shows nothing: {name} frames are answered alike (largest probability difference "
            f"{found:.3g}, at least {allowed.control:.3g} expected)"
            for name, found in self.control.items()
            if not found >= allowed.control
        ]
        return faults

    @property
    def score_difference(self) -> float | None:
        """How far the target's mean IoU differs; None without truth."""
        return None if self.target_iou is None else abs(self.target_iou["keras"] - self.target_iou["onnx"])

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, ready for JSON."""
        return asdict(self)


def measure(network: Predictor, answers: Predictor, probabilities: Predictor, samples: Samples) -> Parity:
    """Compare a network with its two ONNX variants on the same frames.

    Args:
        network: Keras, answering probabilities.
        answers: the model to serve, answering ``classes`` and ``target_probability``.
        probabilities: its float variant.
        samples: the frames.
    """
    (expected,) = in_batches(network, samples.images)
    (actual,) = in_batches(probabilities, samples.images)
    classes, levels = in_batches(answers, samples.images)
    return Parity(
        frames=samples.origin,
        probability=_largest(expected, actual),
        class_share=float(np.mean(classes != expected.argmax(axis=-1))),
        level_share=float(np.mean(levels != to_levels(expected)[..., TARGET])),
        rounding=int(np.sum(levels != to_levels(actual)[..., TARGET])),
        decision=_wrong_decisions(classes, actual),
        batch=_batch_difference(probabilities, samples.images[:3]),
        control={
            name: _largest(expected, in_batches(probabilities, np.ascontiguousarray(samples.images[view]))[0])
            for name, view in CONTROLS.items()
        },
        target_iou=_target_ious(samples, expected, actual),
    )


def require(parity: Parity, allowed: Tolerances) -> None:
    """Let a model pass, or refuse it.

    Raises:
        ExportRefused: something is out of tolerance; the message names all of it.
    """
    faults = parity.faults(allowed)
    if faults:
        raise ExportRefused("the exported model is not the network it came from: " + "; ".join(faults))


def _largest(first: Floats, second: Floats) -> float:
    return float(np.abs(first - second).max())


def _wrong_decisions(classes: NDArray[np.uint8], probabilities: Floats) -> int:
    """Count the pixels whose class has a lower probability than another."""
    is_class = classes[..., np.newaxis] == np.arange(probabilities.shape[-1])
    chosen = np.where(is_class, probabilities, 0).sum(axis=-1)
    return int(np.sum(~(probabilities.max(axis=-1) - chosen <= TIE)))


def _batch_difference(predict: Predictor, frames: Frames) -> float:
    return _largest(in_batches(predict, frames, 1)[0], in_batches(predict, frames, 3)[0])


def _target_ious(samples: Samples, expected: Floats, actual: Floats) -> dict[str, float] | None:
    if not samples.truth:
        return None
    ious, size = {}, (samples.images.shape[2], samples.images.shape[1])
    for name, answer in (("keras", expected), ("onnx", actual)):
        score, predictions = SetScore(), threshold_channels(to_levels(answer))
        for truth, shape, prediction in zip(samples.truth, samples.shapes, predictions, strict=True):
            score.add(truth, without_bars(prediction, shape, size))
        ious[name] = float(score.ious[TARGET])
    return ious
