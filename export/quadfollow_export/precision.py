"""Variants of an exported model in lower precision: derived from the model itself and proven against it.

A variant lies beside its model (``follow-256.fp16.onnx``) and its contract says of which version of the model it was
made, so that a server never takes one for another model's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from quadfollow_core.contract import METADATA_KEY, Contract
from quadfollow_core.errors import BadInput, ExportRefused
from quadfollow_core.files import write_whole
from quadfollow_core.official_frames import evaluation_images, is_evaluation, short_hash
from quadfollow_core.shipped import lower_precision
from quadfollow_export.frames import Samples, recorded, rendered
from quadfollow_export.graph import Graph, read_model
from quadfollow_export.head import attach_probabilities
from quadfollow_export.lower import CALIBRATED, LOWER
from quadfollow_export.official import official_scores
from quadfollow_export.session import Predictor, in_batches, open_openvino, open_session


@dataclass(frozen=True, slots=True)
class Loss:
    """How far a variant's answers are from those of its model, on the same frames."""

    frames: str
    """Where the frames come from."""
    class_share: float
    """Share of pixels given another class."""
    target_share: float
    """Pixels that are target in one answer alone, as a share of those that are in either."""
    levels: int
    """Largest difference of ``target_probability``, of 255."""
    levels_p999: float
    """The 99.9th percentile of that difference."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """Most that a variant may lose against its model."""

    class_share: float = 5e-3
    target_share: float = 0.1
    score: float = 0.005
    """Of the official score, where it is measured; it decides, the others find what is plainly broken."""


@dataclass(frozen=True, slots=True)
class Made:
    """A variant that was written, with its contract inside."""

    path: Path
    contract: Contract

    @property
    def summary(self) -> str:
        """What it lost, in a line."""
        told = self.contract.checks["variant"]
        loss, scores = told["loss"], told.get("official_score")
        scored = f"; official score {scores['variant']:.4f} of {scores['model']:.4f}" if scores else ""
        return (
            f"{told['precision']}: {loss['class_share']:.2g} of pixels with another class, "
            f"{loss['target_share']:.2g} of the target's, on {loss['frames']}{scored}"
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        told: dict[str, Any] = self.contract.checks["variant"]
        return {"path": str(self.path)} | told


def make_variant(
    path: Path,
    precision: str,
    data: Path | None,
    evaluate: Path | None = None,
    allowed: Allowed | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Made:
    """Derive a variant of an exported model, prove it, and write it beside the model.

    Args:
        path: the model.
        precision: one of :data:`quadfollow_export.lower.LOWER`.
        data: recorded frames to calibrate and to compare on, never those of the official evaluation; rendered ones
            if None, which will do for ``fp16``.
        evaluate: official evaluation sets, to have the loss of score measured.
        allowed: most that it may lose.
        progress: told of each step.

    Raises:
        NotFound, BadModel: no model there, or none of ours.
        BadInput: there are no frames to calibrate on, or too few, or they are those of the official evaluation.
        Unavailable: what serves the variant, and so proves it, is not installed.
        ExportRefused: it loses more than is allowed.
    """
    if precision in CALIBRATED and data is None:
        raise BadInput("8-bit integers are calibrated on frames of the kind the model is for: give them with --data")
    allowed = allowed or Allowed()
    source, model, contract = read_model(path)
    samples = rendered(COMPARED, contract.size) if data is None else recorded(data, COMPARED * PARTS, contract.size)
    if precision in CALIBRATED and data is not None and (is_evaluation(data) or _has_evaluation_images(samples)):
        raise BadInput(f"{data} holds official evaluation frames, which score and never calibrate: give others")
    if len(samples.images) < PARTS:
        raise BadInput(f"{data} holds {len(samples.images)} frame(s): of {PARTS} one calibrates and one compares")
    progress(f"{precision}: deriving it with {samples.origin}")
    lower = LOWER[precision](model, _part(samples, slice(1, None, PARTS)).images)
    served = open_openvino if precision in CALIBRATED else open_session
    loss = compare(open_session(source), served(lower.SerializeToString()), _part(samples, slice(0, None, PARTS)))
    _require(precision, loss, allowed)
    told: dict[str, Any] = {"precision": precision, "of": sha256(source).hexdigest()[:12], "loss": asdict(loss)}
    score: dict[str, Any] = {}
    if evaluate is not None:
        openers = {"model": (onnx.load_model_from_string(source), open_session), "variant": (lower, served)}
        predictors = {name: run(probabilities_of(model, contract)) for name, (model, run) in openers.items()}
        scores = official_scores(
            predictors, evaluate, contract.size, lambda part: progress(f"{precision}: scoring {part}")
        )
        told["official_score"] = {name: scored.final for name, scored in scores.items()}
        _require_score(precision, told["official_score"], allowed)
        score = scores["variant"].as_dict()
    made = Made(
        lower_precision(path, precision), replace(contract, score=score, checks=contract.checks | {"variant": told})
    )
    onnx.helper.set_model_props(lower, {METADATA_KEY: made.contract.to_json()})
    write_whole(made.path, lower.SerializeToString())
    return made


COMPARED = 48
"""Frames that the answers are compared on."""
PARTS = 3
"""Of so many frames one is compared on and one calibrates."""


def _part(samples: Samples, part: slice) -> Samples:
    chosen = samples.images[part]
    return Samples(chosen, f"{len(chosen)} of {samples.origin}")


def _has_evaluation_images(samples: Samples) -> bool:
    return any(short_hash(image.read_bytes()) in evaluation_images() for image in samples.files)


def probabilities_of(model: Any, contract: Contract) -> bytes:
    """The same network with its contract's least lead, answering what the score needs: all classes' probabilities."""
    graph = Graph(model)
    attach_probabilities(graph, contract.size, contract.least_lead)
    return bytes(graph.to_model().SerializeToString())


def _require_score(precision: str, finals: Mapping[str, float], allowed: Allowed) -> None:
    lost = finals["model"] - finals["variant"]
    if not lost <= allowed.score:
        raise ExportRefused(
            f"the {precision} variant's official score is {finals['variant']:.4f}, its model's {finals['model']:.4f}: "
            f"{lost:.4f} lost, allowed {allowed.score:.4f}"
        )


def compare(full: Predictor, lower: Predictor, samples: Samples) -> Loss:
    """Compare the answers (``classes``, ``target_probability``) of two models on the same frames."""
    classes, levels = in_batches(full, samples.images)
    others, other_levels = in_batches(lower, samples.images)
    off = np.abs(levels.astype(np.int16) - other_levels.astype(np.int16))
    return Loss(
        frames=samples.origin,
        class_share=float(np.mean(classes != others)),
        target_share=_apart(levels > THRESHOLD, other_levels > THRESHOLD),
        levels=int(off.max()),
        levels_p999=float(np.percentile(off, 99.9)),
    )


THRESHOLD = 127
"""The official decision: more than this of 255."""


def _apart(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    either = np.count_nonzero(first | second)
    return float(np.count_nonzero(first ^ second) / either) if either else 0.0


def _require(precision: str, loss: Loss, allowed: Allowed) -> None:
    faults = [
        f"{what} {found:.3g}, allowed {most:.3g}"
        for what, found, most in (
            ("share of pixels with another class", loss.class_share, allowed.class_share),
            ("share of the target's pixels that differ", loss.target_share, allowed.target_share),
        )
        if not found <= most
    ]
    if faults:
        raise ExportRefused(f"the {precision} variant answers otherwise than its model: {'; '.join(faults)}")
