"""What the live view keeps, for whom and how much of it, and how it takes turns: without any WebSocket."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref
from contextlib import suppress

import numpy as np
import pytest
from numpy.typing import NDArray

from quadfollow_core.request import Result, parse_request
from quadfollow_server.jobs import Job
from quadfollow_server.live_view import OLD, UNNAMED, LiveView
from quadfollow_server.metrics import Metrics


def answered(lane: object, stream: str, number: int) -> tuple[Job, Result]:
    """An answer as the dispatcher hands it on."""
    request = parse_request({"id": number, "stream": stream}, b"\xff\xd8\xff")
    return Job(request, "test", lambda outcome: None, lane), Result({"id": number})


def test_nothing_is_kept_while_nobody_looks() -> None:
    """Answers leave no trace before the first viewer comes and after the last one leaves."""
    live = LiveView(Metrics(), 2)
    live.show(*answered("one", "a", 1))
    assert live.streams == []
    with live.viewer():
        live.show(*answered("one", "a", 2))
        live.show(*answered("one", "", 3))
        assert live.streams == [UNNAMED, "a"]
    assert live.streams == []


@pytest.mark.parametrize("turns", range(6))
def test_whoever_leaves_just_as_news_comes_is_let_go(turns: int) -> None:
    """Waiting for a picture ends where it is cancelled, at whichever turn of the event loop that is."""
    live = LiveView(Metrics(), 1)

    async def leave() -> None:
        with live.viewer() as viewer:
            waiting = asyncio.create_task(live.next(viewer, 60))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            live.show(*answered("one", "a", 1))
            for _ in range(turns):
                await asyncio.sleep(0)
            is_waiting = waiting.cancel()
            with suppress(asyncio.CancelledError):
                await waiting
            assert waiting.cancelled() == is_waiting

    asyncio.run(leave())


def test_of_two_clients_under_one_name_one_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one keeps the name until it is silent; then the other one has it."""
    now = [100.0]
    monkeypatch.setattr("quadfollow_server.live_view.time.monotonic", lambda: now[0])
    live = LiveView(Metrics(), 2)

    def newest() -> object:
        preview = live._news_for(viewer)
        return preview and preview.result.body["id"]

    with live.viewer() as viewer:
        live.show(*answered("one", "a", 1))
        live.show(*answered("two", "a", 2))
        assert newest() == 1
        now[0] += 1.5
        live.show(*answered("two", "a", 3))
        assert newest() == 3
        live.show(*answered("one", "a", 4))
        assert newest() == 3


def test_an_old_picture_is_no_news(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who begins to look, or looks again, is shown what was answered just now, never what was long ago."""
    now = [100.0]
    monkeypatch.setattr("quadfollow_server.live_view.time.monotonic", lambda: now[0])
    live = LiveView(Metrics(), 3)
    with live.viewer(), live.viewer() as early, live.viewer() as late:
        live.show(*answered("one", "a", 1))
        now[0] += 1.0
        assert live._news_for(early) is not None
        now[0] += 3600.0
        assert live._news_for(late) is None
        live.show(*answered("one", "a", 2))
        assert live._news_for(late) is not None


def test_no_frame_is_kept_that_nobody_will_be_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all streams one frame per viewer is kept, until it was shown, or is old, or another stream is asked for."""
    live = LiveView(Metrics(), 2)
    kept: list[weakref.ref[memoryview]] = []

    def answer(stream: str) -> None:
        picture = memoryview(b"\xff\xd8\xff")
        kept.append(weakref.ref(picture))
        job = Job(parse_request({"stream": stream}, picture), "test", lambda outcome: None, stream)
        live.show(job, Result({"id": len(kept)}))

    def alive() -> list[int]:
        gc.collect()
        return [number for number, one in enumerate(kept) if one() is not None]

    with live.viewer() as viewer, live.viewer() as other:
        other.stream = "s3"
        for number in range(8):
            answer(f"s{number}")
        assert alive() == [3, 7]
        assert asyncio.run(live.next(viewer, 60))
        live._made = None  # the last message made is kept for the next viewer
        assert alive() == [3]
        other.stream = "elsewhere"
        assert live._news_for(other) is None
        assert alive() == []
        answer("s8")
        later = time.monotonic() + 2 * OLD
        monkeypatch.setattr("quadfollow_server.live_view.time.monotonic", lambda: later)
        assert live._news_for(viewer) is None
        assert alive() == []


def test_the_number_of_streams_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names beyond the bound are not listed until others fall silent, unless somebody asks for them."""
    now = [100.0]
    monkeypatch.setattr("quadfollow_server.live_view.time.monotonic", lambda: now[0])
    live = LiveView(Metrics(), 1)
    with live.viewer() as viewer:
        for number in range(100):
            live.show(*answered(number, f"s{number}", number))
        assert len(live.streams) == 64
        viewer.stream = "wanted"
        live.show(*answered("whose", "wanted", 1))
        assert "wanted" in live.streams
        assert live._news_for(viewer) is not None
        now[0] += 31
        live.show(*answered("late", "late", 1))
        assert live.streams == ["late"]


def test_whoever_leaves_while_its_picture_is_made_keeps_the_turn_until_then(picture: NDArray[np.uint8]) -> None:
    """One picture is made at a time, and what each took is counted, however viewers come and go."""
    live, large = LiveView(Metrics(), 1), np.tile(picture, (20, 20, 1))
    header = {"stream": "a", "encoding": "raw-rgb8", "width": large.shape[1], "height": large.shape[0]}
    job = Job(parse_request(header, large.tobytes()), "test", lambda outcome: None, "one")

    async def leave() -> None:
        with live.viewer() as viewer:
            live.show(job, Result({"id": 1}))
            leaving = asyncio.create_task(live.next(viewer, 60))
            while viewer.newest is not None:
                await asyncio.sleep(0)
            leaving.cancel()
            with suppress(asyncio.CancelledError):
                await leaving
            assert leaving.cancelled()
            assert live._made is not None

    asyncio.run(leave())
