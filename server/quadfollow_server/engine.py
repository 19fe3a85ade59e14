"""A model file made ready to answer: contract checked, session open on the device asked for, one inference run."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from quadfollow_core.contract import INPUT, Contract
from quadfollow_core.errors import BadModel, NotFound, Unavailable
from quadfollow_core.shipped import lower_precision
from quadfollow_server.choice import best, measure, told
from quadfollow_server.device import PROVIDERS, RUNTIME_ERRORS, first_line, open_session, require_in_use
from quadfollow_server.runners import OUTPUTS, BoundRunner, OwnThread, PlainRunner, Runner
from quadfollow_server.segmenter import Device, Plane
from quadfollow_server.variants import AUTO, Variant, Way, ways_of

log = logging.getLogger(__name__)

UINT8 = "tensor(uint8)"


@dataclass(frozen=True, slots=True)
class OnnxSegmenter:
    """One model whose contract was checked, ready to run; see :func:`load_model`."""

    contract: Contract
    device: Device
    source: str
    version: str
    """The first 12 hexadecimal digits of the file's SHA-256."""
    run: Runner

    def segment(self, image: NDArray[np.uint8]) -> tuple[Plane, Plane]:
        """Segment one image; see :meth:`quadfollow_server.segmenter.Segmenter.segment`.

        Raises:
            Unavailable: the runtime failed, such as for want of memory on the device.
        """
        try:
            return self.run(image)
        except RUNTIME_ERRORS as error:
            raise Unavailable(f"inference failed on {self.device.provider}: {first_line(error)}") from error


def load_model(path: Path, device: str = "auto", threads: int = 0, variant: str = AUTO) -> OnnxSegmenter:
    """Load a model, check its contract and run it once on a device: ``cpu``, ``openvino``, ``cuda`` or ``tensorrt``.

    ``auto`` takes CUDA where it really works, else OpenVINO where it is installed and faster here, else the CPU, and
    says so in ``device.reason``. Of a device's variants the fastest here is taken, unless one is asked for by name.

    Raises:
        NotFound: there is no such file.
        BadModel: not an ONNX model, or one that does not meet its contract.
        Unavailable: the device asked for cannot be used here; never a silent fall-back.
    """
    file = _read(path)
    order = _Order(path, file, _judge(file), device, threads, variant)
    if device != "auto":
        return _load(order, (device,), "asked for")
    try:
        return _load(order, ("cuda",), "auto took CUDA because it works here")
    except Unavailable as error:
        return _load(order, ("cpu", "openvino"), f"auto took the fastest here; CUDA is not usable: {error}")


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

    @property
    def version(self) -> str:
        """The first 12 hexadecimal digits of its SHA-256."""
        return hashlib.sha256(self.data).hexdigest()[:12]


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


@dataclass(frozen=True, slots=True)
class _Order:
    """A model that was read and judged, and how it is to run."""

    path: Path
    file: _File
    contract: Contract
    device: str
    threads: int
    variant: str


def _load(order: _Order, devices: Sequence[str], reason: str) -> OnnxSegmenter:
    """Open every variant of the devices that is asked for, and keep the best."""
    name, opened = order.contract.name, dict[Way, OnnxSegmenter]()
    for way in ways_of(devices, order.variant):
        try:
            opened[way] = _open(order, *way, reason)
        except (NotFound, Unavailable) as error:
            if not opened:  # the plain one, or the one asked for
                raise
            log.info("model %s does without %s on %s: %s", name, way[1].name, way[0], error)
    taken = _fastest(opened, order)
    used = taken.device
    log.info("model %s (%s) runs on %s, %s: %s", name, order.file.name, used.provider, used.variant, used.reason)
    return taken


def _fastest(opened: dict[Way, OnnxSegmenter], order: _Order) -> OnnxSegmenter:
    first, *others = opened.values()
    if not others:
        return first
    models: dict[Way, Runner] = {
        way: PlainRunner(open_session(_precise(order, way[1]).data, "cpu", order.threads))
        for way in opened
        if way[1].precision
    }
    tried = measure({way: segmenter.run for way, segmenter in opened.items()}, first.contract.size, models)
    taken = opened[best(tried).way]
    return replace(taken, device=replace(taken.device, reason=f"{taken.device.reason}; tried {told(tried)}"))


def _open(order: _Order, device: str, variant: Variant, reason: str) -> OnnxSegmenter:
    data = _precise(order, variant).data
    used = Device(order.device, PROVIDERS[device][0], reason, device, variant.name)

    def ready(runner: Runner) -> OnnxSegmenter:
        return OnnxSegmenter(order.contract, used, order.file.name, order.file.version, runner)

    def make() -> Runner:
        session = open_session(data, device, order.threads, variant)
        runner = _runner(session, order.contract.size, device, variant)
        _warm_up(ready(runner))
        require_in_use(session, device)
        return runner

    return ready(OwnThread(make) if variant.captured else make())


def _runner(session: onnxruntime.InferenceSession, size: tuple[int, int], device: str, variant: Variant) -> Runner:
    try:
        return BoundRunner(session, size, on_cuda=device != "cpu") if variant.bound else PlainRunner(session)
    except RUNTIME_ERRORS as error:
        raise Unavailable(f"variant {variant.name}: its buffers cannot be bound: {first_line(error)}") from error


def _precise(order: _Order, variant: Variant) -> _File:
    """The model's own file, or the one of lower precision that was made of exactly this version of it.

    Raises:
        NotFound: there is none.
    """
    if not variant.precision:
        return order.file
    lower = _read(lower_precision(order.path, variant.precision))
    made = _judge(lower)
    if made.variant_of != order.file.version or made.size != order.contract.size:
        raise NotFound(f"{lower.name} was made of another version of {order.file.name}: export it again")
    return lower


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
