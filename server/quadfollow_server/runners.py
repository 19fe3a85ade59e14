"""Running a session on one frame: with new buffers each time, or through buffers that stay where they are."""

from __future__ import annotations

import ctypes
import queue
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from quadfollow_core.contract import CLASSES_OUTPUT, INPUT, PROBABILITY_OUTPUT
from quadfollow_core.errors import Unavailable
from quadfollow_server.accelerator import CUDA_RUNTIME
from quadfollow_server.segmenter import Answer

OUTPUTS = (CLASSES_OUTPUT, PROBABILITY_OUTPUT)
SEEN_BY_DEVICE = 0x03
"""cudaHostAllocPortable | cudaHostAllocMapped: every CUDA context may read and write it in place."""

Value = TypeVar("Value")
Image = NDArray[np.uint8]


Runner = Callable[[Image], Answer]
"""Runs a model once, on one ``(H, W, 3)`` image; from any thread."""


def timed(run: Runner, image: Image) -> float:
    """Run a model once; return how many milliseconds it took."""
    started = time.perf_counter()
    run(image)
    return 1000 * (time.perf_counter() - started)


class PlainRunner:
    """Hands the image over and takes what comes back; onnxruntime copies as it must."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session

    def __call__(self, image: Image) -> Answer:
        """Run the model once; several threads may do so at the same time."""
        classes, probability = self._session.run(OUTPUTS, {INPUT: image[None]})
        return classes[0], probability[0]


class BoundRunner:
    """Binds one input and two outputs for good.

    On CUDA they lie in page-locked memory of the host that the device sees at the same address: its first kernel
    reads the frame from there and its last ones write the answer there, so nothing is copied by a call of its own.

    Args:
        session: of a model for frames of ``size``.
        size: ``(width, height)``.
        on_cuda: whether the session runs on CUDA.
    """

    def __init__(self, session: onnxruntime.InferenceSession, size: tuple[int, int], *, on_cuda: bool) -> None:
        width, height = size
        make = page_locked if on_cuda else _plain_array
        device = "cuda" if on_cuda else "cpu"
        self._session = session
        self._image = make((1, height, width, 3))
        self._answers = [make((1, height, width)) for _ in OUTPUTS]
        self._binding = session.io_binding()
        self._binding.bind_input(INPUT, device, 0, np.uint8, self._image.shape, self._image.ctypes.data)
        for name, answer in zip(OUTPUTS, self._answers, strict=True):
            self._binding.bind_output(name, device, 0, np.uint8, answer.shape, answer.ctypes.data)
        self._lock = threading.Lock()

    def __call__(self, image: Image) -> Answer:
        """Run the model once; threads take turns."""
        with self._lock:
            np.copyto(self._image[0], image)
            self._session.run_with_iobinding(self._binding)
            self._binding.synchronize_outputs()
            classes, probability = (answer[0].copy() for answer in self._answers)
        return classes, probability


class OwnThread:
    """A runner that is made and run on one thread of its own.

    onnxruntime records a CUDA graph for the thread that ran it first and takes no other.
    """

    def __init__(self, make: Callable[[], Runner]) -> None:
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        threading.Thread(target=_work, args=(self._calls,), name="quadfollow-device", daemon=True).start()
        weakref.finalize(self, self._calls.put, None).atexit = False
        self._runner = self._call(make)

    def __call__(self, image: Image) -> Answer:
        """Run the model once; threads take turns."""
        return self._call(lambda: self._runner(image))

    def _call(self, function: Callable[[], Value]) -> Value:
        outcome: Future[Value] = Future()

        def settle() -> None:
            try:
                outcome.set_result(function())
            except Exception as error:  # noqa: BLE001  raised again where it is waited for
                outcome.set_exception(error)

        self._calls.put(settle)
        return outcome.result()


def _work(calls: queue.SimpleQueue[Callable[[], None] | None]) -> None:
    while (call := calls.get()) is not None:
        call()
        del call  # it holds the runner, whose end ends this thread


def page_locked(shape: tuple[int, ...]) -> Image:
    """Allocate uint8 memory of the host that stays in place and that CUDA devices see at the same address.

    Raises:
        Unavailable: CUDA gives none.
    """
    size, address = int(np.prod(shape)), ctypes.c_void_p()
    try:
        cuda: Any = ctypes.CDLL(CUDA_RUNTIME)
        status = cuda.cudaHostAlloc(ctypes.byref(address), ctypes.c_size_t(size), SEEN_BY_DEVICE)
    except (OSError, AttributeError) as error:
        raise Unavailable(f"no page-locked memory: {error}") from error
    if status or not address.value:
        raise Unavailable(f"no page-locked memory of {size} bytes (CUDA error {status})")
    memory = (ctypes.c_uint8 * size).from_address(address.value)
    # Not when the process ends: CUDA may be gone by then, and its memory with it.
    weakref.finalize(memory, cuda.cudaFreeHost, address).atexit = False
    return np.ctypeslib.as_array(memory).reshape(shape)


def _plain_array(shape: tuple[int, ...]) -> Image:
    return np.zeros(shape, np.uint8)
