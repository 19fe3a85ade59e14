"""OpenVINO's own runtime, on processors of any maker.

Its plug-in for onnxruntime offers itself on Intel's processors alone.
"""

from __future__ import annotations

import queue
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from quadfollow_core.contract import INPUT
from quadfollow_core.errors import Unavailable
from quadfollow_core.openvino_import import import_openvino
from quadfollow_server.accelerator import Finding
from quadfollow_server.runners import OUTPUTS, Image
from quadfollow_server.segmenter import Answer

PROVIDER = "OpenVINO"
PACKAGE = "openvino"
PRECISION = "INFERENCE_PRECISION_HINT"
REMEDY = "pip install 'quadfollow[openvino]'"


def look() -> Iterator[Finding]:
    """Look at all that it needs."""
    try:
        found = version(PACKAGE)
    except PackageNotFoundError:
        yield Finding("OpenVINO", f"{PACKAGE} is not installed", f"install it: {REMEDY}")
        return
    try:
        _core()
    except Unavailable as error:
        yield Finding("OpenVINO", str(error), f"install the version this quadfollow is tested with: {REMEDY}")
    else:
        yield Finding("OpenVINO", f"{PACKAGE} {found}")


class OpenVinoRunner:
    """Runs a model on the processor; from any thread, ``at_once`` calls at the same time, more wait for their turn.

    Args:
        model: an ONNX file's content.
        threads: of one call that is alone; calls at the same time share them.
        at_once: calls at the same time.
        options: OpenVINO's properties of the compiled model.

    Raises:
        Unavailable: OpenVINO is not there, refuses the model, or computes in another type than ``options`` say.
    """

    def __init__(self, model: bytes, threads: int, at_once: int = 1, options: Mapping[str, str] | None = None) -> None:
        hints = {"NUM_STREAMS": at_once, "INFERENCE_NUM_THREADS": max(threads, at_once), **(options or {})}
        core = _core()
        try:
            compiled = core.compile_model(core.read_model(model=model), "CPU", hints)
            requests = [_Request(compiled) for _ in range(at_once)]
        except RuntimeError as error:
            raise Unavailable(f"OpenVINO refuses the model: {_reason(error)}") from error
        asked, used = hints.get(PRECISION), compiled.get_property(PRECISION).get_type_name()
        if asked not in (None, used):
            raise Unavailable(f"OpenVINO computes in {used} on this processor, not in {asked}: ask for another variant")
        self._idle: queue.SimpleQueue[_Request] = queue.SimpleQueue()
        for request in requests:
            self._idle.put(request)

    def __call__(self, image: Image) -> Answer:
        """Run the model once."""
        request = self._idle.get()
        try:
            return request(image)
        finally:
            self._idle.put(request)


class _Request:
    """One call at a time, through buffers that stay where they are."""

    def __init__(self, compiled: Any) -> None:
        _, height, width, _ = compiled.input(INPUT).partial_shape
        size = height.get_length(), width.get_length()
        self._image = np.zeros((1, *size, 3), np.uint8)
        self._answers = [np.zeros((1, *size), np.uint8) for _ in OUTPUTS]
        self._request = compiled.create_infer_request()
        for name, buffer in zip((INPUT, *OUTPUTS), (self._image, *self._answers), strict=True):
            self._request.set_tensor(name, import_openvino().Tensor(buffer, shared_memory=True))

    def __call__(self, image: Image) -> Answer:
        np.copyto(self._image[0], image)
        self._request.infer()
        classes, probability = (answer[0].copy() for answer in self._answers)
        return classes, probability


@cache
def _core() -> Any:
    try:
        return import_openvino().Core()
    except Exception as error:  # an ImportError, an OSError, or whatever a library of another version raises
        raise Unavailable(f"OpenVINO cannot be loaded: {error}") from error


def _reason(error: RuntimeError) -> str:
    """The message without the lines that say where in OpenVINO's code it was raised."""
    said = [line for line in str(error).splitlines() if line and not line.startswith(("Exception from", "Check"))]
    return said[0] if said else str(error)
