"""One export from end to end: load, convert, prove, score, and only then write."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import tensorflow as tf

from quadfollow_core.contract import METADATA_KEY, Contract
from quadfollow_core.errors import BadInput, ExportRefused
from quadfollow_core.files import write_whole
from quadfollow_core.provenance import git_commit
from quadfollow_export import frames, parity
from quadfollow_export.card import write_card
from quadfollow_export.convert import OPSET, Converted, convert
from quadfollow_export.head import hold_back
from quadfollow_export.official import official_scores
from quadfollow_export.session import Predictor, open_session
from quadfollow_export.source import Source, find_source, load_network


@dataclass(frozen=True, slots=True)
class Options:
    """What an export does besides converting. Sizes are ``(width, height)`` in pixels."""

    name: str | None = None
    """The model's name; by default that of the file it is written to."""
    size: tuple[int, int] | None = None
    data: Path | None = None
    """Recorded frames for the parity check; rendered ones where None."""
    frames: int = 48
    evaluate: Path | None = None
    """Official evaluation sets to score the model on."""
    float_path: Path | None = None
    """Where the float variant goes; by default ``export/`` beside the network."""
    least_lead: float = 0.0
    """How sure of its target a frame must be, see :mod:`quadfollow_export.head`."""
    tolerances: parity.Tolerances = field(default_factory=parity.Tolerances)

    def __post_init__(self) -> None:
        if self.frames < 3:
            raise BadInput(f"a parity check needs at least 3 frames, got {self.frames}")
        if not 0 <= self.least_lead < math.inf:
            raise BadInput(f"a target's lead is a difference of logits from 0 up, got {self.least_lead}")


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written, and the contract inside it."""

    model: Path
    float_model: Path
    card: Path
    contract: Contract

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        files = {"model": str(self.model), "float_model": str(self.float_model), "card": str(self.card)}
        return files | {"contract": asdict(self.contract)}


def export_network(
    path: Path, out: Path, options: Options | None = None, progress: Callable[[str], None] = lambda _: None
) -> Exported:
    """Export a run's best network (or a ``.keras`` file) to ``out``, its float variant and its card.

    Nothing is written before everything is proven; each file appears whole or not at all.

    Raises:
        NotFound, BadModel: no network, or one that cannot be exported.
        BadDataset: frames that cannot be used.
        ExportRefused: the result differs from its source by more than the tolerances.
    """
    options = options or Options()
    if out.suffix != ".onnx":
        raise BadInput(f"the model is written as an .onnx file, got {out.name!r}")
    if options.float_path is not None and options.float_path.resolve() == out.resolve():
        raise BadInput(f"the float variant would overwrite the model at {out}")
    source = find_source(path)
    progress(f"loading {source.path}")
    network, size = load_network(source, options.size)
    progress(f"converting for frames of {size[0]}x{size[1]}")
    converted = convert(network, size, options.least_lead)

    samples = _samples(options, size)
    progress(f"comparing Keras and ONNX on {samples.origin}")
    keras_answers = keras_predictor(network, options.least_lead)
    onnx_answers = open_session(converted.probabilities.SerializeToString())
    proof = parity.measure(keras_answers, open_session(converted.answers.SerializeToString()), onnx_answers, samples)
    parity.require(proof, options.tolerances)
    score, checks = {}, _checks(converted, network, proof)
    if options.evaluate is not None:
        both = {"keras": keras_answers, "onnx": onnx_answers}
        scores = official_scores(both, options.evaluate, size, lambda part: progress(f"scoring {part}"))
        finals = {name: scored.final for name, scored in scores.items()}
        require_score(finals, options.tolerances)
        score, checks = scores["onnx"].as_dict(), checks | {"official_score": finals}

    contract = Contract(
        name=options.name or out.stem,
        width=size[0],
        height=size[1],
        least_lead=options.least_lead,
        training=source.training,
        score=score,
        checks=checks,
        commit=git_commit(__file__) or "unknown",
    )
    return _write(converted, contract, out, options.float_path or _float_path(source, contract))


def keras_predictor(network: Any, least_lead: float = 0.0) -> Predictor:
    """Answer batches with the Keras network itself, on the CPU: a GPU's TF32 is not the reference.

    What is not sure of its target by ``least_lead`` is held back as in the exported graph.
    """

    def predict(images: Any) -> list[Any]:
        with tf.device("/CPU:0"):
            return [hold_back(np.asarray(network(images, training=False)), least_lead)]

    return predict


def require_score(finals: dict[str, float], allowed: parity.Tolerances) -> None:
    """Refuse a model whose official score is not its network's.

    Raises:
        ExportRefused: the final scores of ``keras`` and ``onnx`` differ too much.
    """
    difference = abs(finals["keras"] - finals["onnx"])
    if not difference <= allowed.score:
        raise ExportRefused(
            f"the official score is {finals['keras']:.4f} in Keras and {finals['onnx']:.4f} in ONNX: "
            f"{difference:.3g} apart, allowed {allowed.score:.3g}"
        )


def _samples(options: Options, size: tuple[int, int]) -> frames.Samples:
    folder = options.data or options.evaluate
    return frames.rendered(options.frames, size) if folder is None else frames.recorded(folder, options.frames, size)


def _checks(converted: Converted, network: Any, proof: parity.Parity) -> dict[str, Any]:
    return {
        "parity": proof.as_dict(),
        "macs": converted.macs,
        "parameters": int(network.count_params()),
        "opset": OPSET,
        "rewrites": converted.rewrites,
    }


def _float_path(source: Source, contract: Contract) -> Path:
    return source.path.parent / "export" / f"{contract.name}.float.onnx"


def _write(converted: Converted, contract: Contract, out: Path, float_path: Path) -> Exported:
    exported = Exported(out, float_path, out.with_suffix(".md"), contract)
    for path, model in ((float_path, converted.probabilities), (out, converted.answers)):
        onnx.helper.set_model_props(model, {METADATA_KEY: contract.to_json()})
        write_whole(path, model.SerializeToString())
    write_whole(exported.card, write_card(contract, out))
    return exported
