"""What the load clients count: the requests sent within the measured time, each of which is waited for."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator

import pytest
import zmq
from measuring import load
from measuring.gpu_load import Task, _note
from measuring.load import Book, Plan, load_zmq, report
from measuring.servers import HOST, zmq_plan

SLOW = 0.4
"""Seconds that the slow server takes for an answer."""


@pytest.fixture
def slow_port() -> Iterator[int]:
    """A server over ZeroMQ that answers one request after the other, and takes its time."""
    over = threading.Event()
    with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
        port = router.bind_to_random_port(f"tcp://{HOST}")

        def serve() -> None:
            while not over.is_set():
                if router.poll(20):
                    client, *_ = router.recv_multipart()
                    over.wait(SLOW)
                    router.send_multipart([client, b"qf1", b'{"type":"result"}'])

        thread = threading.Thread(target=serve)
        thread.start()
        yield port
        over.set()
        thread.join()


def test_an_answer_slower_than_the_measured_time_is_seen(slow_port: int) -> None:
    """A request that is under way at the end is waited for, and its latency is longer than what was measured."""
    plan = zmq_plan(slow_port, [b"x"], clients=2, seconds=SLOW, warm_up=SLOW / 2)
    book = load_zmq(plan)
    while not book.latencies:  # a machine that stood still has another load
        book = load_zmq(plan)
    assert (book.waiting, book.errors) == (0, 0)
    assert book.asked == book.answered >= 3  # the first two at once; who is answered first asks once more
    assert book.latencies[0] > 1000 * SLOW


def test_who_is_never_answered_is_given_up_and_counts_as_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wait for the last answers is bounded."""
    monkeypatch.setattr(load, "DRAIN", 0.1)
    with zmq.Context() as context, context.socket(zmq.ROUTER) as deaf:
        plan = zmq_plan(deaf.bind_to_random_port(f"tcp://{HOST}"), [b"x"], clients=3, seconds=0.1, warm_up=0.05)
        told = report(plan, load_zmq(plan))
    assert (told["errors"], told["answered"], told["latencies"]) == (3, 0, [])


def test_refusals_are_asked_but_not_answered() -> None:
    """Warm-up, refusal, answer: only what was sent while it was measured has a latency, only refusals are errors."""
    book = Book()
    book.note(book.send(), well=True)
    book.open(60.0)
    book.note(book.send(), well=False)
    book.note(book.send(), well=True)
    told = report(Plan("zmq", HOST, 0, ()), book)
    assert (told["asked"], told["answered"], told["errors"], len(told["latencies"])) == (3, 2, 1, 1)


def test_answers_after_the_end_are_not_divided_by_the_time_before_it() -> None:
    """A client of the GPU's load counts what comes within the time that it divides by, after the warm-up."""
    counted: dict[float, int] = {}
    for ago in (0.1, 1.0, 2.5):
        times, outcomes = list[float](), Counter[str]()
        _note(times, outcomes, 0.01, "result", Task("", (), 1, time.monotonic() - ago, 2.0))
        counted[ago] = outcomes["result"] + len(times)
    assert counted == {0.1: 0, 1.0: 2, 2.5: 0}
