"""One way to ask any trained model, Keras or ONNX, for the three class channels the official scorer thresholds."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from quadfollow_core.contract import CLASSES_OUTPUT, INPUT, PROBABILITY_OUTPUT
from quadfollow_core.errors import BadInput, BadModel, Unavailable
from quadfollow_core.resize import PERSON, TARGET
from quadfollow_core.scoring import to_levels
from quadfollow_core.scoring_sets import FLOAT_OUTPUT


class Predictor(Protocol):
    """Turns frames at ``size`` = ``(width, height)`` into channels; ``note`` says how exact these are."""

    size: tuple[int, int]
    note: str

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Predict uint8 ``[N, H, W, 3]`` RGB as uint8 ``[N, H, W, 3]`` = floor(255 p) per class."""
        ...


def open_predictor(
    path: Path, size: tuple[int, int] | None = None, default: tuple[int, int] | None = None
) -> Predictor:
    """Open a ``.keras`` or ``.onnx`` model, or the best model of a run's folder.

    Args:
        path: the model's file, or a run's folder.
        size: ``(width, height)`` that the model must take.
        default: the same for a model that takes any size, where none is asked for.

    Raises:
        BadModel: not a model, or one with outputs this does not know.
        BadInput: the model takes any size and none was given.
        Unavailable: a ``.keras`` model where Keras is not installed.
    """
    model = path / "best.keras" if path.is_dir() else path
    if not model.is_file():
        raise BadModel(f"no model at {model}")
    if model.suffix == ".onnx":
        return _open_onnx(model, size, default)
    if model.suffix == ".keras":
        return KerasPredictor(model, size, default)
    raise BadModel(f"{model} is neither a .keras nor an .onnx model")


class KerasPredictor:
    """A Keras model; all three channels are exact."""

    note = "all channels exact"

    def __init__(self, path: Path, size: tuple[int, int] | None = None, default: tuple[int, int] | None = None) -> None:
        try:
            import keras

            import quadfollow_training.shifted  # noqa: F401  a run on JAX saved its layers
        except ImportError as error:
            raise Unavailable('.keras models need Keras: pip install "quadfollow[train]"') from error
        try:
            self.model = keras.models.load_model(path, compile=False)
        except (ValueError, TypeError, OSError, KeyError) as error:
            raise BadModel(f"{path} is not a Keras model: {error}") from error
        self.size = _fixed_size(path, self.model.input_shape[1:3], size, default)

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Predict a batch."""
        return to_levels(self.model.predict_on_batch(images))


class OnnxFloatPredictor:
    """An ONNX model with float probabilities; all three channels are exact."""

    note = "all channels exact"

    def __init__(self, session: Any, size: tuple[int, int]) -> None:
        self.session, self.size = session, size

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Predict a batch."""
        (probabilities,) = self.session.run([FLOAT_OUTPUT], {INPUT: images})
        return to_levels(probabilities)


class OnnxPredictor:
    """The model as served. Its target channel is exact; people and background come from its class map."""

    note = "target channel exact; person and background from the class map (argmax)"

    def __init__(self, session: Any, size: tuple[int, int]) -> None:
        self.session, self.size = session, size

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Predict a batch."""
        classes, target = self.session.run([CLASSES_OUTPUT, PROBABILITY_OUTPUT], {INPUT: images})
        channels = np.zeros((*classes.shape, 3), dtype=np.uint8)
        channels[..., 0] = np.where(classes == 0, 255, 0)
        channels[..., PERSON] = np.where(classes == PERSON, 255, 0)
        channels[..., TARGET] = target
        return channels


def _open_onnx(path: Path, size: tuple[int, int] | None, default: tuple[int, int] | None) -> Predictor:
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise BadModel(f"{path} is not an ONNX model: {error}") from error
    outputs = {output.name for output in session.get_outputs()}
    (source,) = session.get_inputs()
    fixed = _fixed_size(path, tuple(source.shape[1:3]), size, default)
    if FLOAT_OUTPUT in outputs:
        return OnnxFloatPredictor(session, fixed)
    if {CLASSES_OUTPUT, PROBABILITY_OUTPUT} <= outputs:
        return OnnxPredictor(session, fixed)
    raise BadModel(f"{path} has the outputs {', '.join(sorted(outputs))}: neither a served nor a float model's")


def _fixed_size(
    path: Path, shape: tuple[Any, ...], wanted: tuple[int, int] | None, default: tuple[int, int] | None
) -> tuple[int, int]:
    """Decide on ``(width, height)`` for an input of ``(H, W)``, either of which may be open."""
    height, width = shape
    if isinstance(height, int) and isinstance(width, int):
        if wanted not in (None, (width, height)):
            raise BadInput(f"{path} takes {width}x{height}, not {wanted}")
        return width, height
    wanted = wanted or default
    if wanted is None:
        raise BadInput(f"{path} takes pictures of any size: say which with --size, such as --size 256x256")
    return wanted
