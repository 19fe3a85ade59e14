"""A model file made ready to answer: contract checked, session open on the device asked for, one inference run."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from quadfollow_core.contract import CLASSES_OUTPUT, INPUT, PROBABILITY_OUTPUT, Contract
from quadfollow_core.errors import BadModel, NotFound, Unavailable
from quadfollow_server.device import PROVIDERS, RUNTIME_ERRORS, first_line, open_session, require_in_use
from quadfollow_server.segmenter import Device, Plane

log = logging.getLogger(__name__)

OUTPUTS = (CLASSES_OUTPUT, PROBABILITY_OUTPUT)
UINT8 = "tensor(uint8)"


@dataclass(frozen=True, slots=True)
class OnnxSegmenter:
    """One onnxruntime session of a model whose contract was checked; see :func:`load_model`."""

    contract: Contract
    device: Device
    source: str
    version: str
    """The first 12 hexadecimal digits of the file's SHA-256."""
    session: onnxruntime.InferenceSession

    def segment(self, image: NDArray[np.uint8]) -> tuple[Plane, Plane]:
        """Segment one image; see :meth:`quadfollow_server.segmenter.Segmenter.segment`.

        Raises:
            Unavailable: the runtime failed, such as for want of memory on the device.
        """
        try:
            classes, probability = self.session.run(OUTPUTS, {INPUT: image[None]})
        except RUNTIME_ERRORS as error:
            raise Unavailable(f"inference failed on {self.device.provider}: {first_line(error)}") from error
        return classes[0], probability[0]


def load_model(path: Path, device: str = "auto", threads: int = 0) -> OnnxSegmenter:
    """Load a model, check its contract and run it once on ``auto``, ``cpu``, ``cuda`` or ``tensorrt``.

    ``auto`` takes CUDA where it really works and the CPU otherwise, and says so in ``device.reason``.

    Raises:
        NotFound: there is no such file.
        BadModel: not an ONNX model, or one that does not meet its contract.
        Unavailable: the device asked for cannot be used here; never a silent fall-back.
    """
    file = _read(path)
    contract = _judge(file)
    if device != "auto":
        return _start(file, contract, Device(device, PROVIDERS[device][0], "asked for"), device, threads)
    try:
        taken = Device(device, PROVIDERS["cuda"][0], "auto took CUDA because it works here")
        return _start(file, contract, taken, "cuda", threads)
    except Unavailable as error:
        reason = f"auto took the CPU because CUDA is not usable: {error}"
        return _start(file, contract, Device(device, PROVIDERS["cpu"][0], reason), "cpu", threads)


def read_contract(path: Path) -> Contract:
    """Read a model file's contract and check that inputs and outputs are as it says.

    Raises:
        NotFound, BadModel: see :func:`load_model`.
    """
    return _judge(_read(path))


@dataclass(frozen=True, slots=True)
class _File:
    """A model file as it was when it was read; what is replaced meanwhile is not mixed with it."""

    name: str
    data: bytes


def _read(path: Path) -> _File:
    try:
        return _File(path.name, path.read_bytes())
    except OSError as error:
        raise NotFound(f"no model file at {path}: {error.strerror}") from error


def _judge(file: _File) -> Contract:
    """Check a file on the CPU, so that what goes wrong later on a device can only be the device's fault."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = onnxruntime.InferenceSession(file.data, options, providers=PROVIDERS["cpu"])
    except RUNTIME_ERRORS as error:
        raise BadModel(f"{file.name} is not a model that onnxruntime can load: {first_line(error)}") from error
    contract = Contract.from_metadata(session.get_modelmeta().custom_metadata_map)
    size = [contract.height, contract.width]
    _check_tensor(file.name, "input", session.get_inputs(), INPUT, [*size, 3])
    for name in OUTPUTS:
        _check_tensor(file.name, "output", session.get_outputs(), name, size)
    return contract


def _check_tensor(file: str, kind: str, tensors: Sequence[Any], name: str, size: list[int]) -> None:
    found = {tensor.name: tensor for tensor in tensors}
    if name not in found:
        raise BadModel(f"{file} has no {kind} {name!r}; it has {', '.join(sorted(found)) or 'none'}")
    tensor = found[name]
    if tensor.type != UINT8 or not _fits(tensor.shape, size):
        raise BadModel(
            f"{file}: {kind} {name!r} is {tensor.type} {tensor.shape}; its contract needs {UINT8} {['N', *size]}"
        )


def _fits(shape: Sequence[int | str | None], size: list[int]) -> bool:
    """Whether a tensor is ``[N, *size]``; sides that the graph leaves open are settled by the warm-up run."""
    if len(shape) != len(size) + 1 or (isinstance(shape[0], int) and shape[0] != 1):
        return False
    return all(not isinstance(side, int) or side == want for side, want in zip(shape[1:], size, strict=True))


def _start(file: _File, contract: Contract, device: Device, name: str, threads: int) -> OnnxSegmenter:
    version = hashlib.sha256(file.data).hexdigest()[:12]
    segmenter = OnnxSegmenter(contract, device, file.name, version, open_session(file.data, name, threads))
    _warm_up(segmenter)
    require_in_use(segmenter.session, name)
    log.info("model %s (%s) runs on %s: %s", contract.name, file.name, device.provider, device.reason)
    return segmenter


def _warm_up(segmenter: OnnxSegmenter) -> None:
    contract = segmenter.contract
    expected = (contract.height, contract.width)
    try:
        planes = segmenter.segment(np.zeros((*expected, 3), dtype=np.uint8))
    except Unavailable as error:
        if segmenter.device.provider == PROVIDERS["cpu"][0]:
            raise BadModel(f"{segmenter.source} does not run: {error}") from error
        raise
    for plane in planes:
        if plane.shape != expected or plane.dtype != np.uint8:
            raise BadModel(
                f"{segmenter.source} answers {plane.dtype} {plane.shape}; its contract says uint8 {expected}"
            )
