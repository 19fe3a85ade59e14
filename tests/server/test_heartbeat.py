"""What a server tells its supervisor, and who waits for it in this process."""

from __future__ import annotations

import asyncio
import os
import time

import numpy as np

from quadfollow_server.binding import Ports
from quadfollow_server.heartbeat import Heartbeat
from quadfollow_server.running import ANY_PORTS, RunningServer
from quadfollow_server.segmenter import ConstantSegmenter
from quadfollow_server.service import Service, assemble
from quadfollow_server.settings import Settings

SEGMENTER = ConstantSegmenter(np.zeros((8, 8), np.uint8))


async def loaded_while_it_hangs() -> Service:
    """A server whose models are there, and whose workers, never started, have not moved on for too long."""
    service = assemble(Settings(workers=1, hang_seconds=1), Ports(1, 2, 3), lambda *_: None)
    while service.hangs is None:
        await asyncio.sleep(0.05)
    return service


def test_a_server_that_hangs_as_it_gets_ready_says_so_once() -> None:
    """It tells that it listens once and that it is ready once, and begins no second chain of beats."""

    async def scenario() -> list[str]:
        service = await loaded_while_it_hangs()
        reading, writing = os.pipe()
        heartbeat = Heartbeat(writing)
        heartbeat.watch(service)
        service.models.install([SEGMENTER])
        assert service.not_ready is not None
        heartbeat.watch(service)
        service.dispatcher.start()
        end = time.monotonic() + 1.2
        while time.monotonic() < end:
            await asyncio.sleep(0.05)
        await service.dispatcher.close(30)
        os.close(writing)
        with os.fdopen(reading) as said:
            return said.read().splitlines()

    lines = asyncio.run(scenario())
    assert lines[:3] == ['listening {"http": 1, "zmq": 2, "pub": 3}', "beat", "ready"]
    assert set(lines[3:]) == {"beat"}
    assert len(lines) - 3 <= 3, "one beat in half a second"


def test_who_waits_for_a_server_gets_it_though_it_hangs_at_that_moment() -> None:
    """Having its models is being ready; it would not be told again."""

    async def scenario() -> None:
        server = RunningServer(ANY_PORTS, [SEGMENTER])
        service = await loaded_while_it_hangs()
        server._watch(service)
        assert not server._outcome.done()
        service.models.install([SEGMENTER])
        server._watch(service)
        assert server._outcome.result(0) is service

    asyncio.run(scenario())
