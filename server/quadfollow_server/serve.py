"""One serving process: ports, doors, dispatcher and models, from start to a graceful end."""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import logging
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeVar

from quadfollow_server.binding import Sockets, bound
from quadfollow_server.dispatch import Dispatcher
from quadfollow_server.http_door import build_app
from quadfollow_server.http_protocol import HttpServer
from quadfollow_server.metrics import Metrics
from quadfollow_server.models import Loader, Models, load_models
from quadfollow_server.segmenter import Segmenter
from quadfollow_server.service import Service
from quadfollow_server.settings import Settings
from quadfollow_server.zmq_door import Publisher, ZmqDoor

log = logging.getLogger(__name__)

Value = TypeVar("Value")
DRAIN_SECONDS = 2.0
"""Time that the frame being worked on gets to be answered when the server stops."""


class Server:
    """One server; :meth:`run` returns after :meth:`stop`.

    Args:
        settings: what to serve, and where.
        load: makes the models; another one puts fakes in their place.
        watch: called on the event loop when the server listens, and again when frames can be answered.
    """

    def __init__(
        self, settings: Settings, load: Loader = load_models, watch: Callable[[Service], None] = lambda _: None
    ) -> None:
        self._settings = settings
        self._load = load
        self._watch = watch
        self._stop = asyncio.Event()

    def stop(self) -> None:
        """Begin to stop; may be called from any thread once the server listens."""
        with suppress(RuntimeError):  # it has ended by itself
            self._loop.call_soon_threadsafe(self._stop.set)

    async def run(self) -> None:
        """Bind, answer while models load, serve, and end gracefully.

        Raises:
            Unavailable: a port is taken, or the device asked for cannot be used.
            NotFound, BadModel: a model cannot be served.
        """
        self._loop = asyncio.get_running_loop()
        log.info("settings %s", json.dumps(self._settings.as_dict()))
        with bound(self._settings) as sockets:
            service = _assemble(self._settings, sockets)
            door = ZmqDoor(sockets.router, service.dispatcher, service.metrics, self._settings.max_body_bytes)
            http = HttpServer(build_app(service))
            service.dispatcher.start()
            door.start()
            listening = asyncio.create_task(http.serve_on(sockets.http))
            log.info("listening %s", json.dumps({"host": self._settings.host} | service.ports.as_dict()))
            self._watch(service)
            try:
                await self._serve(service, listening)
            finally:
                service.stopping = True
                await service.dispatcher.close(DRAIN_SECONDS)
                door.stop()
                http.should_exit = True
                await listening
                log.info("stopped")

    async def _serve(self, service: Service, listening: asyncio.Task[None]) -> None:
        """Load the models and wait for the end: a call to stop, or a door that fell."""
        stop = asyncio.create_task(self._stop.wait())
        loading = _in_thread(lambda: self._load(self._settings))
        try:
            await asyncio.wait((loading, stop, listening), return_when=asyncio.FIRST_COMPLETED)
            if loading.done():
                self._take(service, loading.result())
                await asyncio.wait((stop, listening), return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.cancel()
            loading.cancel()

    def _take(self, service: Service, segmenters: Sequence[Segmenter]) -> None:
        service.models.install(segmenters)
        service.metrics.announce(service.models.all)
        log.info("ready %s", json.dumps({model.contract.name: model.device.provider for model in segmenters}))
        self._watch(service)


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then answer what is under way and return; see :meth:`Server.run`."""
    run(Server(settings), signals=(signal.SIGTERM, signal.SIGINT))


def run(server: Server, signals: Sequence[signal.Signals] = ()) -> None:
    """Run a server on an event loop of its own in this thread, until it is stopped."""

    async def main() -> None:
        for number in signals:
            asyncio.get_running_loop().add_signal_handler(number, server.stop)
        await server.run()

    with asyncio.Runner(loop_factory=_new_loop) as runner:
        runner.run(main())


def _new_loop() -> asyncio.AbstractEventLoop:
    if sys.platform == "win32":
        return asyncio.SelectorEventLoop()
    import uvloop

    return uvloop.new_event_loop()


def _assemble(settings: Settings, sockets: Sockets) -> Service:
    models, metrics = Models(), Metrics()
    dispatcher = Dispatcher(models, metrics, settings, Publisher(sockets.pub).publish)
    return Service(settings, sockets.ports, models, metrics, dispatcher)


def _in_thread(function: Callable[[], Value]) -> asyncio.Future[Value]:
    """Run what may take minutes in a thread that does not keep the process from ending."""
    outcome: concurrent.futures.Future[Value] = concurrent.futures.Future()
    outcome.set_running_or_notify_cancel()

    def work() -> None:
        try:
            outcome.set_result(function())
        except Exception as error:  # noqa: BLE001  raised again where it is awaited
            outcome.set_exception(error)

    threading.Thread(target=work, name="quadfollow-loading", daemon=True).start()
    return asyncio.wrap_future(outcome)
