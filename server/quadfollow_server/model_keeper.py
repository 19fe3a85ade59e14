"""Loads a server's models, and loads them anew on the side when asked to or when a file changed."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from quadfollow_core.errors import NotFound, QuadfollowError
from quadfollow_core.files import Stamp, stamp_of
from quadfollow_core.shipped import PRECISIONS, lower_precision
from quadfollow_server.logs import Facts
from quadfollow_server.memory import give_back
from quadfollow_server.models import Loader, model_paths
from quadfollow_server.service import Service
from quadfollow_server.settings import Settings

log = logging.getLogger(__name__)

Value = TypeVar("Value")
Stamps = tuple[Stamp | None, ...] | None
WATCH_SECONDS = 1.0
"""Time between two looks at the files; one that is being written is left alone until it looks the same twice."""


class ModelKeeper:
    """Keeps the models of one server as its files are; on the server's event loop.

    Frames are answered by the old models until every new one has met its contract and run once. If one does not,
    the old ones stay.

    Args:
        service: whose models they are.
        load: makes them; may take minutes.
    """

    def __init__(self, service: Service, load: Loader) -> None:
        self._service = service
        self._load = load
        self._asked = asyncio.Event()
        self._stamp: Stamps = None

    def reload(self) -> None:
        """Ask for all models to be loaded anew; asking again while that is under way asks for one time more."""
        self._asked.set()

    async def load(self) -> None:
        """Load the models and install them.

        Raises:
            NotFound, BadModel, Unavailable: see :func:`quadfollow_server.engine.load_model`.
        """
        self._stamp = stamp(self._service.settings)
        self._service.models.install(await _in_thread(lambda: self._load(self._service.settings)))
        self._service.metrics.announce(self._service.models.all)

    async def keep(self) -> None:
        """Reload whenever there is reason to, until cancelled."""
        while True:
            reason = await self._reason()
            try:
                await self.load()
            except Exception as error:  # whatever is wrong with the new files, the old models go on
                self._service.metrics.reload("failed")
                trace = None if isinstance(error, QuadfollowError) else error
                log.error("reload (%s) failed, the models stay as they were: %s", reason, error, exc_info=trace)
            else:
                self._service.metrics.reload("done")
                versions = {model.contract.name: model.version for model in self._service.models.all}
                log.info("reloaded %s", Facts(reason=reason, models=versions))
            await _in_thread(give_back)

    async def _reason(self) -> str:
        """Wait until a reload is asked for, or until files have changed and come to rest."""
        settings, seen = self._service.settings, self._stamp
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(WATCH_SECONDS if settings.watch else None):
                    await self._asked.wait()
                self._asked.clear()
                return "asked for"
            now = stamp(settings)
            if now == seen != self._stamp:
                return "a file changed"
            seen = now


def stamp(settings: Settings) -> Stamps:
    """What changes with any file of the models, of lower precision too; None while a model's own is missing."""
    try:
        paths = model_paths(settings)
    except NotFound:
        return None
    models = tuple(stamp_of(path) for path in paths)
    lower = (stamp_of(lower_precision(path, precision)) for path in paths for precision in PRECISIONS)
    return None if None in models else (*models, *lower)


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
