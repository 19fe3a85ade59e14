"""A model file made ready to answer: contract checked, session open on the device asked for, one inference run."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from quadfollow_core.contract import Contract
from quadfollow_core.errors import BadModel, NotFound, Unavailable
from quadfollow_core.shipped import lower_precision
from quadfollow_server.choice import Finding, Findings, answers_alike, best, measure, told
from quadfollow_server.cores import inference_threads
from quadfollow_server.device import (
    ON_PROCESSOR,
    PROVIDERS,
    RUNTIME_ERRORS,
    first_line,
    open_session,
    require_accelerator,
    require_in_use,
)
from quadfollow_server.model_file import ModelFile, contract_of, read_file
from quadfollow_server.openvino import OpenVinoRunner
from quadfollow_server.runners import BoundRunner, OwnThread, PlainRunner, Runner
from quadfollow_server.segmenter import Device, Plane
from quadfollow_server.variants import AUTO, Variant, Way, ways_of

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OnnxSegmenter:
    """One model whose contract was checked, ready to run; see :func:`load_model`."""

    contract: Contract
    device: Device
    source: str
    version: str
    """The first 12 hexadecimal digits of the file's SHA-256."""
    run: Runner
    """With all the threads there are."""
    run_beside: Runner
    """For several frames at the same time, which share the threads."""

    def segment(self, image: NDArray[np.uint8], *, alone: bool = True) -> tuple[Plane, Plane]:
        """Segment one image; see :meth:`quadfollow_server.segmenter.Segmenter.segment`.

        Raises:
            Unavailable: the runtime failed, such as for want of memory on the device.
        """
        try:
            return self.run(image) if alone else self.run_beside(image)
        except RUNTIME_ERRORS as error:
            raise Unavailable(f"inference failed on {self.device.provider}: {first_line(error)}") from error


def load_model(
    path: Path,
    device: str = "auto",
    threads: int = 0,
    variant: str = AUTO,
    findings: Findings | None = None,
    at_once: int = 1,
) -> OnnxSegmenter:
    """Load a model, check its contract and run it once on a device: ``cpu``, ``openvino``, ``cuda`` or ``tensorrt``.

    ``auto`` takes CUDA where it really works, else OpenVINO where it is installed and faster here, else the CPU, and
    says so in ``device.reason``. Of a device's variants the fastest here is taken, unless one is asked for by name.
    ``findings`` remember which was: the next version of the model runs in the same way, without being measured beside
    whatever else the machine then does, as long as the same ways are open to it and it answers rightly. So many frames
    as ``at_once`` says can be worked on at the same time, each with its share of a processor's threads.

    Raises:
        NotFound: there is no such file.
        BadModel: not an ONNX model, or one that does not meet its contract.
        Unavailable: the device asked for cannot be used here; never a silent fall-back.
    """
    file = read_file(path)
    kept: Findings = {} if findings is None else findings
    order = _Order(path, file, contract_of(file), device, threads, variant, kept, at_once)
    if device != "auto":
        return _load(order, (device,), "asked for")
    try:
        return _load(order, ("cuda",), "auto took CUDA because it works here")
    except Unavailable as error:
        if any(known == path and found.way[0] == "cuda" for (known, _), found in kept.items()):
            raise  # it ran there before: whoever reloads it keeps what runs now
        return _load(order, ("cpu", "openvino"), f"auto took the fastest here; CUDA is not usable: {error}")


@dataclass(frozen=True, slots=True)
class _Order:
    """A model that was read and judged, and how it is to run."""

    path: Path
    file: ModelFile
    contract: Contract
    device: str
    threads: int
    variant: str
    findings: Findings
    at_once: int


def _load(order: _Order, devices: Sequence[str], reason: str) -> OnnxSegmenter:
    """Open the model as it was found to be fastest before; else in every way that is asked for, and keep the best."""
    ways = ways_of(devices, order.variant)
    require_accelerator(ways[0][0])  # before its files are looked for
    files = _files(order, ways)
    taken = _shared(order, files, _as_before(order, files, reason) or _fastest(order, files, reason))
    used = taken.device
    name, source = order.contract.name, order.file.name
    log.info("model %s (%s) runs on %s, %s: %s", name, source, used.provider, used.variant, used.reason)
    return taken


def _files(order: _Order, ways: Sequence[Way]) -> dict[Way, bytes]:
    """The content of the file that each way runs, but for ways whose file is not there."""
    files = dict[Way, bytes]()
    for way in ways:
        with _doing_without(order, way, optional=bool(files)):
            files[way] = _precise(order, way[1]).data
    return files


@contextmanager
def _doing_without(order: _Order, way: Way, *, optional: bool) -> Iterator[None]:
    """Say that a way cannot be gone, unless it is the plain one, or the one asked for."""
    try:
        yield
    except (NotFound, Unavailable) as error:
        if not optional:
            raise
        log.info("model %s does without %s on %s: %s", order.contract.name, way[1].name, way[0], error)


def _as_before(order: _Order, files: Mapping[Way, bytes], reason: str) -> OnnxSegmenter | None:
    """Open the model in the way found before, if there is one that can still be gone and answers rightly."""
    found = order.findings.get((order.path, tuple(files)))
    if found is None:
        return None
    data = files[found.way]
    with _doing_without(order, found.way, optional=True):
        segmenter = _open(order, found.way, data, f"{reason}; when it was first loaded: {found.told}")
        if answers_alike(segmenter.run, _on_cpu(order, data), order.contract.size):
            return segmenter
        log.warning("model %s answers wrongly on %s, %s", order.contract.name, found.way[0], found.way[1].name)
    return None


def _fastest(order: _Order, files: Mapping[Way, bytes], reason: str) -> OnnxSegmenter:
    """Open the model in every way, keep the best and remember which it was."""
    opened = dict[Way, OnnxSegmenter]()
    for way, data in files.items():
        with _doing_without(order, way, optional=bool(opened)):
            opened[way] = _open(order, way, data, reason)
    first, *others = opened.values()
    if not others:
        return first
    models = {way: _on_cpu(order, files[way]) for way in opened if way[1].precision}
    tried = measure({way: segmenter.run for way, segmenter in opened.items()}, order.contract.size, models)
    found = order.findings[order.path, tuple(files)] = Finding(best(tried).way, f"tried {told(tried)}")
    taken = opened[found.way]
    return replace(taken, device=replace(taken.device, reason=f"{reason}; {found.told}"))


def _on_cpu(order: _Order, data: bytes) -> Runner:
    """The file as onnxruntime's CPU provider runs it, which tells what its answers should be."""
    return PlainRunner(open_session(data, "cpu", order.threads))


def _shared(order: _Order, files: Mapping[Way, bytes], taken: OnnxSegmenter) -> OnnxSegmenter:
    """Have frames that are worked on at the same time share a processor's threads, instead of each taking them all."""
    device, name = taken.device.name, taken.device.variant
    if order.at_once == 1 or device not in ON_PROCESSOR:
        return taken
    way, data = next((way, data) for way, data in files.items() if (way[0], way[1].name) == (device, name))
    return replace(taken, run_beside=_start(order, way, data, taken.device, order.at_once))


def _open(order: _Order, way: Way, data: bytes, reason: str) -> OnnxSegmenter:
    device, variant = way
    used = Device(order.device, PROVIDERS[device][0], reason, device, variant.name)
    make = partial(_start, order, way, data, used)
    return _segmenter(order, used, OwnThread(make) if variant.captured else make())


def _start(order: _Order, way: Way, data: bytes, used: Device, at_once: int = 1) -> Runner:
    device, variant = way
    if device == "openvino":
        require_accelerator(device)
        runner: Runner = OpenVinoRunner(data, inference_threads(order.threads), at_once, variant.options)
        _warm_up(_segmenter(order, used, runner))
        return runner
    session = open_session(data, device, order.threads, variant, at_once)
    runner = _runner(session, order.contract.size, device, variant)
    _warm_up(_segmenter(order, used, runner))
    require_in_use(session, device)
    return runner


def _segmenter(order: _Order, used: Device, runner: Runner) -> OnnxSegmenter:
    return OnnxSegmenter(order.contract, used, order.file.name, order.file.version, runner, runner)


def _runner(session: onnxruntime.InferenceSession, size: tuple[int, int], device: str, variant: Variant) -> Runner:
    try:
        return BoundRunner(session, size, on_cuda=device != "cpu") if variant.bound else PlainRunner(session)
    except RUNTIME_ERRORS as error:
        raise Unavailable(f"variant {variant.name}: its buffers cannot be bound: {first_line(error)}") from error


def _precise(order: _Order, variant: Variant) -> ModelFile:
    """The model's own file, or the one of lower precision that was made of exactly this version of it.

    Raises:
        NotFound: there is none.
    """
    if not variant.precision:
        return order.file
    lower = read_file(lower_precision(order.path, variant.precision))
    made = contract_of(lower)
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
