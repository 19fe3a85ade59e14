"""A model file made ready to answer: contract checked, session open on the device asked for, one inference run."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from quadfollow_core.contract import Contract
from quadfollow_core.errors import BadModel, NotFound, Unavailable
from quadfollow_core.shipped import lower_precision
from quadfollow_server.choice import TRIES, WRONG, Findings, Probe, Taken, best, find_probe, measure, told, wrong
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
from quadfollow_server.segmenter import Answer, Device
from quadfollow_server.variants import AUTO, Variant, Way, ways_of

log = logging.getLogger(__name__)

AUTOMATIC = ("cuda", *ON_PROCESSOR)
"""Devices of which ``auto`` takes one."""


class WrongAnswers(Unavailable):
    """A device answers otherwise than the model's file says."""


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

    def segment(self, image: NDArray[np.uint8], *, alone: bool = True) -> Answer:
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
    as ``at_once`` says can be worked on at the same time, each with its share of a processor's threads. Whichever way
    is gone, one that was asked for by name too, its answers are compared with those of its file on the CPU.

    Raises:
        NotFound: there is no such file.
        BadModel: not an ONNX model, or one that does not meet its contract.
        BadInput: the device has no such variant.
        Unavailable: what was asked for cannot be used here, or answers wrongly; never a silent fall-back.
    """
    file = read_file(path)
    kept: Findings = {} if findings is None else findings
    ways = ways_of(AUTOMATIC if device == "auto" else (device,), variant)
    order = _Order(path, file, contract_of(file), device, threads, ways, kept, at_once)
    if device != "auto":
        return _load(order, "asked for")
    on_cuda, others = ([way for way in ways if (way[0] == "cuda") is there] for there in (True, False))
    if not on_cuda:
        return _load(order, f"auto took the fastest here; CUDA has no variant {variant}")
    try:
        return _load(replace(order, ways=on_cuda), "auto took CUDA because it works here")
    except Unavailable as error:
        if not others or any(known == path and found.way[0] == "cuda" for (known, _), found in kept.items()):
            raise  # nothing else has that variant; or it ran there before: whoever reloads it keeps what runs now
        return _load(replace(order, ways=others), f"auto took the fastest here; CUDA is not usable: {error}")


@dataclass(frozen=True, slots=True)
class _Order:
    """A model that was read and judged, and how it is to run."""

    path: Path
    file: ModelFile
    contract: Contract
    device: str
    threads: int
    ways: Sequence[Way]
    """Those to choose from; the first is gone unless that fails, the others as far as they can be."""
    findings: Findings
    at_once: int
    probes: dict[str, Probe | None] = field(default_factory=dict)
    """By the file of which they tell the right answers."""


def _load(order: _Order, reason: str) -> OnnxSegmenter:
    """Open the model as it was found to be fastest before; else in every way that is asked for, and keep the best."""
    files = _files(order)
    taken = _shared(order, files, _as_before(order, files, reason) or _fastest(order, files, reason))
    used = taken.device
    name, source = order.contract.name, order.file.name
    log.info("model %s (%s) runs on %s, %s: %s", name, source, used.provider, used.variant, used.reason)
    return taken


def _files(order: _Order) -> dict[Way, ModelFile]:
    """The file that each way runs, but for ways whose device is not usable or whose file is not there."""
    files = dict[Way, ModelFile]()
    for way in order.ways:
        with _doing_without(order, way, optional=bool(files)):
            require_accelerator(way[0])
            files[way] = _precise(order, way[1])
    return files


@contextmanager
def _doing_without(order: _Order, way: Way, *, optional: bool) -> Iterator[None]:
    """Say that a way cannot be gone, unless it is the plain one, or the one asked for."""
    try:
        yield
    except (NotFound, Unavailable, BadModel) as error:
        if not optional:
            raise
        level = logging.WARNING if isinstance(error, BadModel | WrongAnswers) else logging.INFO
        log.log(level, "model %s does without %s on %s: %s", order.contract.name, way[1].name, way[0], error)


def _as_before(order: _Order, files: Mapping[Way, ModelFile], reason: str) -> OnnxSegmenter | None:
    """Open the model in the way found before, if there is one that can still be gone."""
    found = order.findings.get((order.path, tuple(files)))
    if found is not None:
        with _doing_without(order, found.way, optional=len(files) > 1):
            return _open(order, found.way, files[found.way], f"{reason}; when it was first loaded: {found.told}")
    return None


def _fastest(order: _Order, files: Mapping[Way, ModelFile], reason: str) -> OnnxSegmenter:
    """Open the model in every way, keep the best and remember which it was."""
    opened = dict[Way, OnnxSegmenter]()
    for way, file in files.items():
        with _doing_without(order, way, optional=bool(opened)):
            opened[way] = _open(order, way, file, reason)
    found = Taken(next(iter(opened)), "there was no other choice")
    if len(opened) > 1:
        tried = measure({way: segmenter.run for way, segmenter in opened.items()}, order.contract.size)
        found = Taken(best(tried), f"tried {told(tried)}")
    order.findings[order.path, tuple(files)] = found
    taken = opened[found.way]
    return replace(taken, device=replace(taken.device, reason=f"{reason}; {found.told}"))


def _shared(order: _Order, files: Mapping[Way, ModelFile], taken: OnnxSegmenter) -> OnnxSegmenter:
    """Have frames that are worked on at the same time share a processor's threads, instead of each taking them all."""
    device, name = taken.device.name, taken.device.variant
    if order.at_once == 1 or device not in ON_PROCESSOR:
        return taken
    way, file = next((way, file) for way, file in files.items() if (way[0], way[1].name) == (device, name))
    return replace(taken, run_beside=_start(order, way, file, taken.device, order.at_once))


def _open(order: _Order, way: Way, file: ModelFile, reason: str) -> OnnxSegmenter:
    device, variant = way
    used = Device(order.device, PROVIDERS[device][0], reason, device, variant.name)
    make = partial(_start, order, way, file, used)
    return _segmenter(order, used, OwnThread(make) if variant.captured else make())


def _start(order: _Order, way: Way, file: ModelFile, used: Device, at_once: int = 1) -> Runner:
    device, variant = way
    if device == "openvino":
        runner: Runner = OpenVinoRunner(file.data, inference_threads(order.threads), at_once, variant.options)
        _warm_up(_segmenter(order, used, runner))
    else:
        session = open_session(file.data, device, order.threads, variant, at_once)
        runner = _runner(session, order.contract.size, device, variant)
        _warm_up(_segmenter(order, used, runner))
        require_in_use(session, device)
    if device != "cpu" or variant.bound:  # else it is what others are compared with
        _check_answers(order, way, file, runner)
    return runner


def _check_answers(order: _Order, way: Way, file: ModelFile, runner: Runner) -> None:
    """Compare a way's answers with those of its file on the CPU; where they cannot be, only the first way passes."""
    probe = _probe(order, file)
    if probe is None:
        if way != order.ways[0]:
            raise Unavailable(f"its answers cannot be checked, since {file.name} marks no target on any test frame")
    elif (share := wrong(runner, probe)) > WRONG:
        raise WrongAnswers(
            f"device {way[0]}, variant {way[1].name}: its answers are not those of {file.name} on the CPU: "
            f"for every 100 pixels that should be marked {100 * share:.0f} are wrong"
        )


def _probe(order: _Order, file: ModelFile) -> Probe | None:
    """Frames on which a file marks a target, and its answers; sought once, near those of the files before."""
    if file.name not in order.probes:
        near = next(reversed(order.probes.values()), [])
        if near is None:
            return None
        try:
            model = PlainRunner(open_session(file.data, "cpu", order.threads))
            probe = order.probes[file.name] = find_probe(model, order.contract.size, near)
        except RUNTIME_ERRORS as error:
            raise BadModel(f"{file.name} does not run on the CPU: {first_line(error)}") from error
        if probe is None:
            log.warning(
                "%s marks no target on any of %d test frames: whether another engine answers as it does cannot be "
                "checked, and it runs the plain way unless told otherwise",
                file.name,
                TRIES,
            )
    return order.probes[file.name]


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
