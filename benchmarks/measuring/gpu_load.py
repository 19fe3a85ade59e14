"""Clients that load a running server: in closed loops, or as streams that offer frames at their own pace.

They run in processes of their own, so that neither the server nor the others wait for one interpreter.
"""

from __future__ import annotations

import http.client
import itertools
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any
from urllib.parse import urlsplit

from measuring.summaries import in_ms
from quadfollow_core.stream_client import StreamClient

HEAD_START = 0.5
"""Seconds between handing out the work and its common beginning."""
WARM_UP = 0.3
"""Seconds at the beginning that are not counted."""
PAUSE = 0.0003
"""Seconds between two looks at the sockets where one process has several."""


@dataclass(frozen=True, slots=True)
class Task:
    """What one process is to do."""

    where: str
    """Address of the ROUTER, or URL of the HTTP door."""
    jpegs: tuple[bytes, ...]
    clients: int
    begin: float
    """``time.monotonic()`` at which all begin."""
    seconds: float
    hz: float = 0.0
    """Frames that each stream offers per second; 0 for closed loops."""

    @property
    def end(self) -> float:
        """``time.monotonic()`` at which all end."""
        return self.begin + self.seconds


Found = tuple[list[float], Counter[str]]
"""Seconds from offer to answer of every answered frame, and how many met each outcome."""


class Clients:
    """A pool of processes that act as clients; use it as a context manager."""

    def __init__(self, jpegs: Sequence[bytes], most: int | None = None) -> None:
        self._jpegs = tuple(jpegs)
        self._processes = most or max(1, min(8, (os.cpu_count() or 2) // 2))
        self._pool = ProcessPoolExecutor(self._processes, get_context("spawn"))
        list(self._pool.map(_warm, range(4 * self._processes)))

    def __enter__(self) -> Clients:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def zeromq(self, address: str, clients: int, seconds: float) -> dict[str, Any]:
        """So many clients, each sending its next frame as soon as the last one is answered."""
        return self._summary(zeromq_loop, address, clients, seconds)

    def http(self, url: str, clients: int, seconds: float) -> dict[str, Any]:
        """The same over HTTP, raw JPEG bodies on connections that stay open."""
        return self._summary(http_loop, url, clients, seconds)

    def streams(self, address: str, streams: int, seconds: float, hz: float = 20.0) -> dict[str, Any]:
        """So many streams, each offering a frame ``hz`` times a second and keeping one request in flight."""
        return {"offered_per_s": streams * hz} | self._summary(streaming, address, streams, seconds, hz)

    def _summary(
        self, work: Callable[[Task], Found], where: str, clients: int, seconds: float, hz: float = 0.0
    ) -> dict[str, Any]:
        begin = time.monotonic() + HEAD_START
        shares = [share for share in _shares(clients, self._processes) if share]
        tasks = [Task(where, self._jpegs, share, begin, seconds, hz) for share in shares]
        found = list(self._pool.map(work, tasks))
        outcomes = sum((counter for _, counter in found), Counter[str]())
        answered = round(outcomes["result"] / (seconds - WARM_UP), 1)
        ms = in_ms(1000 * one for times, _ in found for one in times)
        return {"clients": clients, "answered_per_s": answered, **ms, "outcomes": dict(outcomes)}


def zeromq_loop(task: Task) -> Found:
    """Closed loops over ZeroMQ."""
    times, outcomes, frames = list[float](), Counter[str](), itertools.cycle(task.jpegs)
    with _stream_clients(task) as clients:
        for client in clients:
            client.offer(next(frames))
        while time.monotonic() < task.end:
            for client in clients:
                for fate in client.poll(0.05 if len(clients) == 1 else 0.0):
                    client.offer(next(frames))
                    _note(times, outcomes, fate.age, fate.outcome, task)
            _breathe(clients)
    return times, outcomes


def streaming(task: Task) -> Found:
    """Streams that offer frames at their own pace, spread over the period."""
    times, outcomes, frames = list[float](), Counter[str](), itertools.cycle(task.jpegs)
    with _stream_clients(task) as clients:
        due = [task.begin + index / (len(clients) * task.hz) for index in range(len(clients))]
        while (now := time.monotonic()) < task.end:
            for index, client in enumerate(clients):
                if now >= due[index]:
                    client.offer(next(frames), captured=due[index])
                    due[index] += 1 / task.hz
                for fate in client.poll(0.0):
                    _note(times, outcomes, fate.age, fate.outcome, task)
            time.sleep(PAUSE)
    return times, outcomes


def http_loop(task: Task) -> Found:
    """Closed loops over HTTP, a thread each."""
    with ThreadPoolExecutor(task.clients) as threads:
        found = list(threads.map(_http_client, [task] * task.clients))
    return [one for times, _ in found for one in times], sum((counter for _, counter in found), Counter[str]())


def _http_client(task: Task) -> Found:
    times, outcomes, frames = list[float](), Counter[str](), itertools.cycle(task.jpegs)
    parts = urlsplit(task.where)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    connection.connect()
    _wait(task.begin)
    while (started := time.monotonic()) < task.end:
        connection.request("POST", "/segment", next(frames), {"content-type": "image/jpeg"})
        answer = connection.getresponse()
        answer.read()
        outcome = "result" if answer.status == http.HTTPStatus.OK else f"status {answer.status}"
        _note(times, outcomes, time.monotonic() - started, outcome, task)
    connection.close()
    return times, outcomes


@contextmanager
def _stream_clients(task: Task) -> Iterator[list[StreamClient]]:
    """Connect the clients of a task, and wait for its beginning."""
    with ExitStack() as stack:
        names = (f"{os.getpid()}-{index}" for index in range(task.clients))
        clients = [stack.enter_context(StreamClient(task.where, stream=name, timeout=10.0)) for name in names]
        _wait(task.begin)
        yield clients


def _note(times: list[float], outcomes: Counter[str], seconds: float, outcome: str, task: Task) -> None:
    """Note what has just become of a frame, if it is within the time that the answers are divided by."""
    if WARM_UP <= time.monotonic() - task.begin < task.seconds:
        outcomes[outcome] += 1
        if outcome == "result":
            times.append(seconds)


def _breathe(clients: list[StreamClient]) -> None:
    if len(clients) > 1:
        time.sleep(PAUSE)


def _wait(begin: float) -> None:
    time.sleep(max(0.0, begin - time.monotonic()))


def _shares(whole: int, parts: int) -> Iterator[int]:
    """Split a number into parts as equal as can be."""
    return (whole // parts + (index < whole % parts) for index in range(parts))


def _warm(_: int) -> None:
    """Have a process of the pool import what it needs."""
    time.sleep(0.1)
