"""The seam between the server and whatever segments a frame, and a fake that stands in for a network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from quadfollow_core.contract import Contract
from quadfollow_core.resize import TARGET

Plane = NDArray[np.uint8]
Answer = tuple[Plane, Plane]
"""``classes`` ``(H, W)`` (0 background, 1 person, 2 target) and ``target_probability`` ``(H, W)``, floor(255·p)."""


@dataclass(frozen=True, slots=True)
class Device:
    """Where inference really runs, and why there."""

    asked: str
    """``auto``, ``cpu``, ``openvino``, ``cuda`` or ``tensorrt``."""
    provider: str
    """The execution provider in use, by onnxruntime's name, or ``OpenVINO``."""
    reason: str
    name: str = "cpu"
    """The device that was taken, as it can be asked for."""
    variant: str = "plain"
    """The way in which it runs there; see :mod:`quadfollow_server.variants`."""


class Segmenter(Protocol):
    """Turns one image of the model's size into a class mask."""

    @property
    def contract(self) -> Contract:
        """What the model promises."""

    @property
    def device(self) -> Device:
        """Where it runs."""

    @property
    def source(self) -> str:
        """The file's name, without its folder."""

    @property
    def version(self) -> str:
        """What tells one content of the file from another."""

    def segment(self, image: NDArray[np.uint8], *, alone: bool = True) -> Answer:
        """Segment an ``(H, W, 3)`` uint8 RGB image of the model's size.

        ``alone`` tells that no other frame is worked on: this one may have all cores. Called from any thread, from
        several at the same time too.
        """


class ConstantSegmenter:
    """A fake that sees the same ``(H, W)`` class mask in every frame, for tests and benchmarks.

    Args:
        classes: the mask it returns; its size is the model's size.
        pause: called before each answer, such as ``partial(time.sleep, 0.025)`` or an event's ``wait``.
        name: the model's name.
    """

    def __init__(self, classes: Plane, *, pause: Callable[[], object] = lambda: None, name: str = "constant") -> None:
        self._classes = classes
        self._probability = np.where(classes == TARGET, np.uint8(255), np.uint8(0))
        self._pause = pause
        self.contract = Contract(name, width=classes.shape[1], height=classes.shape[0])
        self.device = Device("cpu", "none", "a fake needs no provider")
        self.source = f"{name}.fake"
        self.version = "fake"

    def segment(self, image: NDArray[np.uint8], *, alone: bool = True) -> Answer:
        """Return the mask it was made with, whatever the image shows."""
        self._pause()
        return self._classes, self._probability
