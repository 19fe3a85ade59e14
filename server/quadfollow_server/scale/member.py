"""One replica: the engine and dispatcher of any server, whose ZeroMQ door is a connection to a gateway."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace

import zmq

from quadfollow_core.request import Result
from quadfollow_core.wire import is_ipv6
from quadfollow_server.binding import Ports, limit_pub
from quadfollow_server.jobs import Job
from quadfollow_server.models import Loader, ModelLoader
from quadfollow_server.scale.gateway import BEAT, MAX_UNSENT, Addresses
from quadfollow_server.serve import DRAIN_SECONDS
from quadfollow_server.service import Service, assemble
from quadfollow_server.settings import Settings
from quadfollow_server.zmq_door import Publisher, ZmqDoor

HELLO_SECONDS = 0.5
"""Time between two signs of life."""
NOBODY = b""
"""The name of the client that is the gateway itself."""


class Member:
    """Answers what a gateway sends it, once it has models; make it on a running event loop.

    Args:
        name: what the gateway knows it by.
        settings: how to serve; ports and models in it are not used.
        load: makes the models, if it is not the usual loader.
    """

    def __init__(self, name: str, settings: Settings, load: Loader | None = None) -> None:
        self._name = name.encode()
        self._load = load or ModelLoader()
        self.service: Service = assemble(settings, Ports(0, 0, 0), self._publish)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._door: ZmqDoor | None = None
        self._publisher: Publisher | None = None
        self._looked = (time.monotonic(), 0.0)
        self.service.dispatcher.start()

    async def serve(self, models: Sequence[str]) -> None:
        """Load models, named as in the settings, and switch to them; those there were answer until then.

        Raises:
            NotFound, BadModel, Unavailable: see :func:`quadfollow_server.engine.load_model`; nothing has changed.
        """
        settings = replace(self.service.settings, models=tuple(models))
        self.service.models.install(await asyncio.to_thread(self._load, settings))
        self.service.metrics.announce(self.service.models.all)

    def connect(self, addresses: Addresses) -> None:
        """Answer to the gateway at these addresses from now on, and no longer to another one."""
        self._disconnect()
        service, limit = self.service, self.service.settings.max_body_bytes
        service.ports = Ports(service.ports.http, addresses.zmq, addresses.pub)
        self._dealer = self._context.socket(zmq.DEALER)
        self._dealer.linger, self._dealer.ipv6 = 0, is_ipv6(addresses.frames)
        self._dealer.identity = self._name
        self._dealer.maxmsgsize, self._dealer.rcvhwm = 2 * limit, MAX_UNSENT
        self._dealer.heartbeat_ivl, self._dealer.heartbeat_timeout = BEAT, 2 * BEAT
        self._dealer.connect(addresses.frames)
        self._results = self._context.socket(zmq.XPUB)
        limit_pub(self._results)
        self._results.ipv6 = is_ipv6(addresses.results)
        self._results.connect(addresses.results)
        self._publisher = Publisher(self._results)
        self._door = ZmqDoor(self._dealer, service.dispatcher, service.metrics, limit)
        self._door.start()
        self._hello = asyncio.create_task(self._say_hello())

    def busy(self) -> float:
        """The share of its workers' time since the last call that frames took, 0 to 1; the autoscaler's measure."""
        before, worked = self._looked
        now, work = self._looked = (time.monotonic(), self.service.metrics.worked())
        return min(1.0, (work - worked) / self.service.settings.at_once / max(now - before, 1e-3))

    async def leave(self) -> None:
        """Take no more frames, answer what is under way, and end; what cannot be answered is dropped and said so."""
        self.service.stopping = True
        self._tell("bye")
        await self.service.dispatcher.close(DRAIN_SECONDS)
        self._disconnect()
        self._context.term()

    def _disconnect(self) -> None:
        if self._door is None:
            return
        self._hello.cancel()
        self._door.stop()
        self._results.close(0)
        self._door = self._publisher = None

    def _publish(self, job: Job, result: Result) -> None:
        if self._publisher is not None:
            self._publisher.publish(job, result)

    async def _say_hello(self) -> None:
        while True:
            self._tell("pong")
            await asyncio.sleep(HELLO_SECONDS)

    def _tell(self, kind: str) -> None:
        if self._door is not None:
            self._door.send(NOBODY, Result({"type": kind}))
