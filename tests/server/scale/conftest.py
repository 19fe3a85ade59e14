"""A gateway and replicas on an event loop of their own, on real sockets, without Ray."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from dataclasses import replace
from typing import Any, TypeVar

import pytest

from quadfollow_server.access import Access
from quadfollow_server.scale import gateway as gateway_module
from quadfollow_server.scale import member as member_module
from quadfollow_server.scale.gateway import Gateway
from quadfollow_server.scale.member import Member
from quadfollow_server.segmenter import ConstantSegmenter
from quadfollow_server.settings import Settings

Value = TypeVar("Value")
SETTINGS = Settings(port=0, zmq_port=0, pub_port=0, max_body_bytes=1_000_000)


class Scaled:
    """One gateway and the replicas that were asked for."""

    def __init__(self, host: str, access: Access) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.gateway = self.run(self._open(host, access))
        self.members: list[Member] = []

    @property
    def address(self) -> str:
        """The gateway's ZeroMQ door."""
        return f"tcp://127.0.0.1:{self.gateway.addresses.zmq}"

    @property
    def pub_address(self) -> str:
        """The gateway's PUB."""
        return f"tcp://127.0.0.1:{self.gateway.addresses.pub}"

    @property
    def streams(self) -> dict[str, int]:
        """How many streams each replica has."""
        return self.call(lambda: self.gateway.streams)

    def start(self, work: Coroutine[Any, Any, Value]) -> Future[Value]:
        """Begin to carry something out on the loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def run(self, work: Coroutine[Any, Any, Value]) -> Value:
        """Carry something out on the loop."""
        return self.start(work).result(60)

    def call(self, function: Callable[[], Value]) -> Value:
        """Call something on the loop."""

        async def called() -> Value:
            return function()

        return self.run(called())

    def add(self, segmenter: ConstantSegmenter) -> Member:
        """Add a replica of a fake."""
        member = self.run(self._join(f"replica-{len(self.members)}", segmenter))
        self.members.append(member)
        return member

    def remove(self, member: Member) -> None:
        """Let a replica leave in order."""
        self.members.remove(member)
        self.run(member.leave())

    def kill(self, member: Member) -> None:
        """End a replica's connection as its death would."""
        self.members.remove(member)
        self.call(member._disconnect)

    def close(self) -> None:
        """End all."""
        for member in list(self.members):
            self.remove(member)
        self.call(self.gateway.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _open(self, host: str, access: Access) -> Gateway:
        return Gateway(replace(SETTINGS, access=access), host)

    async def _join(self, name: str, segmenter: ConstantSegmenter) -> Member:
        member = Member(name, SETTINGS, lambda _: [segmenter])
        await member.serve(["fake"])
        member.connect(self.gateway.addresses)
        return member


@pytest.fixture
def host() -> str:
    """Where replicas meet the gateway."""
    return "127.0.0.1"


@pytest.fixture
def access() -> Access:
    """Who may come in at the gateway: everybody."""
    return Access()


@pytest.fixture
def scaled(host: str, access: Access, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scaled]:
    """A gateway without replicas, which gives none up because the machine stood still for some seconds."""
    monkeypatch.setattr(gateway_module, "SILENCE", 600.0)
    for module in (gateway_module, member_module):
        monkeypatch.setattr(module, "BEAT", 600_000)
    running = Scaled(host, access)
    yield running
    running.close()
