"""A real server in a thread of this process, for tests, the demo and benchmarks."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Self

from quadfollow_core.errors import Unavailable
from quadfollow_server.binding import bracketed
from quadfollow_server.segmenter import Segmenter
from quadfollow_server.serve import Server, run
from quadfollow_server.service import Service
from quadfollow_server.settings import Settings

ANY_PORTS = Settings(port=0, zmq_port=0, pub_port=0)


class RunningServer:
    """Runs a server for as long as its block lasts; inside it, frames can be answered.

    Args:
        settings: what to serve, and where; on free ports of the loopback if absent.
        segmenters: fakes to serve in place of the settings' models.
        wait: seconds until it must be ready.

    Example::

        with RunningServer(Settings(port=0, zmq_port=0, pub_port=0)) as server:
            HttpClient(server.url).segment(image)
    """

    def __init__(
        self, settings: Settings = ANY_PORTS, segmenters: Sequence[Segmenter] = (), *, wait: float = 60.0
    ) -> None:
        self._settings = settings
        self._wait = wait
        self._service: Service | None = None
        self._outcome: Future[Service] = Future()
        self._server = Server(settings, (lambda _: segmenters) if segmenters else None, self._watch)
        self._thread = threading.Thread(target=self._run, name="quadfollow-server", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self._service = self._outcome.result(self._wait)
        except TimeoutError as error:
            self.stop()
            raise Unavailable(f"the server was not ready within {self._wait} s") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def service(self) -> Service:
        """The server as its doors see it."""
        if self._service is None:
            raise Unavailable("the server is not running")
        return self._service

    @property
    def url(self) -> str:
        """Address of the HTTP door."""
        scheme = "http" if self._settings.access.tls_cert is None else "https"
        return f"{scheme}://{bracketed(self._settings.host)}:{self.service.ports.http}"

    @property
    def address(self) -> str:
        """Address of the ROUTER."""
        return f"tcp://{bracketed(self._settings.host)}:{self.service.ports.zmq}"

    @property
    def pub_address(self) -> str:
        """Address of the PUB socket."""
        return f"tcp://{bracketed(self._settings.host)}:{self.service.ports.pub}"

    def reload(self) -> None:
        """Ask for the models to be loaded anew; see :meth:`quadfollow_server.serve.Server.reload`."""
        self._server.reload()

    def stop(self) -> None:
        """Stop gracefully and wait for the end."""
        self._server.stop()
        self._thread.join()

    def _watch(self, service: Service) -> None:
        if service.models.ready:
            self._outcome.set_result(service)

    def _run(self) -> None:
        try:
            run(self._server)
        except Exception as error:
            if self._outcome.done():
                raise
            self._outcome.set_exception(error)
