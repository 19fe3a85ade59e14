"""What a replica tells the autoscaler."""

from __future__ import annotations

import asyncio
import time

import pytest

from quadfollow_core.request import Result
from quadfollow_server.scale.member import Member
from quadfollow_server.settings import Settings


@pytest.mark.parametrize("workers", [1, 2])
def test_busy_is_the_share_of_all_workers_time(workers: int) -> None:
    """Frames that two workers answer side by side are no more work than they have time for."""

    async def scenario() -> None:
        member = Member("replica", Settings(port=0, zmq_port=0, pub_port=0, workers=workers))
        before = time.monotonic()
        member.busy()
        after = time.monotonic()
        await asyncio.sleep(0.2)
        member.service.metrics.tell("zmq", Result({"held_ms": 99.0, "timings": {"queue_ms": 9.0, "infer_ms": 90.0}}))
        least = time.monotonic() - after
        busy = member.busy()
        most = time.monotonic() - before
        assert 0.09 / workers / most <= busy * 1.000001
        assert busy <= 0.09 / workers / least * 1.000001
        await member.leave()

    asyncio.run(scenario())
