"""What is exported: a network in Keras' format, and what its run's folder tells about how it was trained."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import keras

from quadfollow_core.contract import CLASSES
from quadfollow_core.errors import BadModel, NotFound, Unavailable

KEPT = ("recipe", "begun_with", "averaged", "best", "backend", "data", "sets", "held_out_runs")
"""What of a run's configuration goes into the contract, besides its sessions."""
BEST = "best.keras"
"""A run's network of the epoch that ``best`` tells of."""
SHIFTED = "ShiftedSeparableConv2D"
"""Training's layer for JAX, which is not known here and which no ``best.keras`` has."""
LEADS_OUT = re.compile(r"(?P<option>--?[\w-]+=|-\w)?(?P<path>(?:/|\.\./).*)")
"""A word that is a path out of the checkout, alone or behind an option: ``--data=/there``, ``-o/there``."""


@dataclass(frozen=True, slots=True)
class Source:
    """A network's file, its name, and its run's configuration (empty where there is none)."""

    path: Path
    name: str
    config: dict[str, Any] = field(default_factory=dict)

    @property
    def training(self) -> dict[str, Any]:
        """What the contract says about the training; paths that lead out of the checkout lose their folders."""
        told = {key: self.config[key] for key in KEPT if key in self.config}
        if "resumed" in self.config:
            told["resumed"] = [_session(later) for later in self.config["resumed"]]
        return told | _session(self.config)


def find_source(path: Path) -> Source:
    """Find the network in a run's folder (the best one), or take a ``.keras`` file.

    Raises:
        NotFound: nothing there, or a folder that holds no network.
        BadModel: the run's configuration cannot be read.
    """
    folder = path if path.is_dir() else path.parent
    file = path / BEST if path.is_dir() else path
    if not file.is_file():
        raise NotFound(f"no network at {file}: give a run's folder or a .keras file")
    config = folder / "config.json"
    if not config.is_file():
        return Source(file, file.stem)
    try:
        told = dict(json.loads(config.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise BadModel(f"{config} cannot be read: {error}") from error
    if file.name != BEST:
        told.pop("best", None)
    return Source(file, folder.resolve().name, told)


def load_network(source: Source, size: tuple[int, int] | None = None) -> tuple[Any, tuple[int, int]]:
    """Load the Keras network for one input size and return both.

    Args:
        source: which network.
        size: ``(width, height)``; None for the network's own, or the one of its recipe where it is open.

    Raises:
        BadModel: not a network that takes uint8 RGB and answers three classes, or one that has no size.
        Unavailable: Keras runs on another backend than TensorFlow.
    """
    if keras.backend.backend() != "tensorflow":
        raise Unavailable("export needs Keras on TensorFlow: unset KERAS_BACKEND, or set it to tensorflow")
    try:
        network = keras.models.load_model(source.path, compile=False)
    except (ValueError, TypeError, OSError, KeyError) as error:
        if SHIFTED in str(error):
            raise BadModel(f"{source.path} has layers for JAX: give its run's best.keras") from error
        raise BadModel(f"{source.path} is not a Keras network that can be loaded: {error}") from error
    _check(network, source.path)
    own = _own_size(network) or _recipe_size(source.config)
    wanted = size or own
    if wanted is None:
        raise BadModel(f"{source.path} takes frames of any size: say which with --size, such as --size 256x256")
    return (network if wanted == _own_size(network) else at_size(network, wanted)), wanted


def at_size(network: Any, size: tuple[int, int]) -> Any:
    """Build the same network, with the same weights, for frames of ``(width, height)``."""
    width, height = size
    image = keras.Input((height, width, 3), dtype="uint8", name="image")
    try:
        sized = keras.models.clone_model(network, input_tensors=image)
    except ValueError as error:
        raise BadModel(f"the network cannot be built for frames of {width}x{height}: {error}") from error
    sized.set_weights(network.get_weights())
    return sized


def _check(network: Any, path: Path) -> None:
    inputs, outputs = network.inputs, network.outputs
    if len(inputs) != 1 or len(outputs) != 1:
        raise BadModel(f"{path} has {len(inputs)} inputs and {len(outputs)} outputs, expected one of each")
    kind, shape, answer = inputs[0].dtype, tuple(inputs[0].shape), tuple(outputs[0].shape)
    if kind != "uint8" or len(shape) != 4 or shape[-1] != 3:
        raise BadModel(f"{path} takes {kind} {shape}, expected uint8 (frames, height, width, 3)")
    if len(answer) != 4 or answer[-1] != len(CLASSES):
        raise BadModel(f"{path} answers {answer}, expected (frames, height, width, {len(CLASSES)})")


def _own_size(network: Any) -> tuple[int, int] | None:
    _, height, width, _ = network.inputs[0].shape
    return None if height is None or width is None else (width, height)


def _recipe_size(config: Mapping[str, Any]) -> tuple[int, int] | None:
    size = config.get("recipe", {}).get("spec", {}).get("input_size")
    return None if size is None else (int(size[0]), int(size[1]))


def _session(config: Mapping[str, Any]) -> dict[str, Any]:
    """With which packages, at which commit and by which command a run was begun or gone on with."""
    told = {key: config[key] for key in ("packages", "git_commit") if key in config}
    return told | ({"command": shlex.join(map(_without_folders, config["command"]))} if "command" in config else {})


def _without_folders(word: str) -> str:
    found = LEADS_OUT.fullmatch(word)
    return (found["option"] or "") + PurePosixPath(found["path"]).name if found else word
