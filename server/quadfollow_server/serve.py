"""One serving process: ports, doors, dispatcher and models, from start to a graceful end."""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict

import cv2

from quadfollow_server.binding import bound
from quadfollow_server.caught_signals import Terminal
from quadfollow_server.heartbeat import Heartbeat
from quadfollow_server.http_door import build_app
from quadfollow_server.http_gate import guarded
from quadfollow_server.http_protocol import HttpServer
from quadfollow_server.logs import Facts
from quadfollow_server.memory import map_large_blocks
from quadfollow_server.model_keeper import ModelKeeper
from quadfollow_server.models import Loader, ModelLoader
from quadfollow_server.service import Service, assemble
from quadfollow_server.settings import Settings
from quadfollow_server.traces import open_traces
from quadfollow_server.zmq_door import Publisher, ZmqDoor

log = logging.getLogger(__name__)

Handlers = Mapping[signal.Signals, Callable[[], None]]
OPEN_FILES = 65_536
"""File handles that are enough for any number of clients that one server can answer."""
DRAIN_SECONDS = 2.0
"""Time that the frame being worked on gets to be answered when the server stops."""


class Server:
    """One server; :meth:`run` returns after :meth:`stop`.

    Args:
        settings: what to serve, and where.
        load: makes the models, if it is not the usual loader; tests put fakes in their place.
        watch: called on the event loop when the server listens, and again when frames can be answered.
    """

    def __init__(
        self, settings: Settings, load: Loader | None = None, watch: Callable[[Service], None] = lambda _: None
    ) -> None:
        self._settings = settings
        self._load = load or ModelLoader()
        self._watch = watch
        self._stop = asyncio.Event()

    def stop(self) -> None:
        """Begin to stop; may be called from any thread once the server listens."""
        with suppress(RuntimeError):  # it has ended by itself
            self._loop.call_soon_threadsafe(self._stop.set)

    def reload(self) -> None:
        """Load all models anew on the side and switch to them; may be called from any thread once it listens."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._keeper.reload)

    async def run(self) -> None:
        """Bind, answer while models load, serve, and end gracefully.

        Raises:
            Unavailable: a port is taken, or the device asked for cannot be used.
            NotFound, BadModel: a model cannot be served.
        """
        self._loop = asyncio.get_running_loop()
        log.info("settings %s", Facts(**asdict(self._settings)))
        access = self._settings.access
        clients = access.clients()
        traces = open_traces(self._settings.traces)
        with bound(self._settings, clients) as sockets:
            zeromq = sockets.zeromq
            for warning in access.warnings(zeromq.address):
                log.warning(warning)
            service = assemble(self._settings, sockets.ports, Publisher(zeromq.pub).publish, traces)
            zeromq.gate.metrics = service.metrics
            self._keeper = ModelKeeper(service, self._load)
            door = ZmqDoor(zeromq.router, service.dispatcher, service.metrics, self._settings.max_body_bytes)
            app = guarded(build_app(service), access, clients, zeromq.address, service.metrics)
            http = HttpServer(app, self._settings.max_connections, service.metrics, **access.uvicorn_options())
            service.dispatcher.start()
            door.start()
            watching = asyncio.create_task(zeromq.gate.watch((zeromq.router, zeromq.pub)))
            listening = asyncio.create_task(http.serve_on(sockets.http))
            log.info("listening %s", Facts(host=self._settings.host, **asdict(service.ports)))
            self._watch(service)
            try:
                await self._serve(service, listening)
            finally:
                service.stopping = True
                watching.cancel()
                await service.dispatcher.close(DRAIN_SECONDS)
                door.stop()
                http.should_exit = True
                await listening
                if traces is not None:
                    traces.close()
                log.info("stopped")

    async def _serve(self, service: Service, listening: asyncio.Task[None]) -> None:
        """Keep the models and wait for the end: a call to stop, a door that fell, models that cannot be loaded."""
        stop = asyncio.create_task(self._stop.wait())
        models = asyncio.create_task(self._keep_models(service))
        try:
            await asyncio.wait((models, stop, listening), return_when=asyncio.FIRST_COMPLETED)
            if models.done():
                models.result()
        finally:
            stop.cancel()
            models.cancel()

    async def _keep_models(self, service: Service) -> None:
        await self._keeper.load()
        self._watch(service)
        log.info("ready %s", Facts(models={model.contract.name: model.device.provider for model in service.models.all}))
        await self._keeper.keep()


def serve(settings: Settings, heartbeat: int | None = None) -> None:
    """Serve until SIGTERM or SIGINT, then answer what is under way and return; see :meth:`Server.run`.

    SIGHUP loads the models anew, unless it tells that the terminal was closed, which ends the server too.

    Args:
        settings: what to serve, and where.
        heartbeat: descriptor of the pipe to a supervisor, if there is one.
    """
    terminal = Terminal()
    server = Server(settings) if heartbeat is None else Server(settings, watch=Heartbeat(heartbeat).watch)
    handlers = {signal.SIGTERM: server.stop, signal.SIGINT: server.stop}
    if sys.platform != "win32":
        handlers[signal.SIGHUP] = lambda: server.stop() if terminal.is_gone else server.reload()
    _trace_native_calls()
    map_large_blocks()
    cv2.setNumThreads(1)  # waking another takes longer than searching a mask
    _allow_open_files()
    with _restored(handlers):
        run(server, handlers)
        _leave()


@contextmanager
def _restored(numbers: Iterable[signal.Signals]) -> Iterator[None]:
    """Put the process's own signal handlers back in the end: uvloop leaves its own behind when its loop closes."""
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:  # else one that Python did not install and cannot put back
                signal.signal(number, handler)


def _allow_open_files() -> None:
    """Take as many file handles as may be had: HTTP connections are counted, ZeroMQ's are bounded by these alone."""
    if sys.platform != "win32":
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
        if soft != resource.RLIM_INFINITY and soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _trace_native_calls() -> None:
    """On a crash and on SIGQUIT, write where each thread stands, which may be inside a native call."""
    if sys.__stderr__ is not None:
        faulthandler.enable(sys.__stderr__)
        if sys.platform != "win32":
            faulthandler.register(signal.SIGQUIT, sys.__stderr__)


def _leave() -> None:
    """End the process at once where a thread is stuck in native code, which Python's own way out would tear down."""
    stuck = [thread for thread in threading.enumerate() if thread.daemon]
    for thread in stuck:
        thread.join(0.1)
    if any(thread.is_alive() for thread in stuck):
        log.warning("ending although %s goes on", ", ".join(thread.name for thread in stuck))
        logging.shutdown()
        os._exit(0)


def run(server: Server, handlers: Handlers | None = None) -> None:
    """Run a server on an event loop of its own in this thread, until it is stopped."""

    async def main() -> None:
        for number, handler in (handlers or {}).items():
            asyncio.get_running_loop().add_signal_handler(number, handler)
        await server.run()

    with asyncio.Runner(loop_factory=_new_loop) as runner:
        runner.run(main())


def _new_loop() -> asyncio.AbstractEventLoop:
    if sys.platform == "win32":
        return asyncio.SelectorEventLoop()
    import uvloop

    return uvloop.new_event_loop()
