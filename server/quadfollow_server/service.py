"""What the doors share: models, dispatcher, counters, and what the server tells of itself."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

from quadfollow_server.binding import Ports
from quadfollow_server.dispatch import Dispatcher, Publish
from quadfollow_server.live_view import LiveView
from quadfollow_server.metrics import Metrics
from quadfollow_server.models import Models
from quadfollow_server.segmenter import Segmenter
from quadfollow_server.settings import Settings
from quadfollow_server.traces import Traces

VERSION = version("quadfollow")


@dataclass(slots=True)
class Service:
    """One serving process, as its doors see it."""

    settings: Settings
    ports: Ports
    models: Models
    metrics: Metrics
    dispatcher: Dispatcher
    live: LiveView
    stopping: bool = False

    @property
    def hangs(self) -> str | None:
        """Why this process should be replaced: inference has not moved on for too long; None while all goes on."""
        seconds = time.monotonic() - self.dispatcher.turned
        return f"inference has not moved on for {seconds:.1f} s" if seconds > self.settings.hang_seconds else None

    @property
    def not_ready(self) -> str | None:
        """Why no frame can be answered now; None when frames can."""
        if self.stopping:
            return "the server is stopping"
        return self.hangs if self.models.ready else "the model is still loading"

    def info(self) -> dict[str, Any]:
        """What this server is: version, models with their contracts and devices, limits, ports, viewers."""
        return {
            "name": "quadfollow",
            "version": VERSION,
            "ready": self.not_ready is None,
            "models": [self._described(model, index == 0) for index, model in enumerate(self.models.all)],
            "tracker": self.settings.tracker,
            "limits": self.settings.limits,
            "ports": asdict(self.ports),
            "viewers": self.live.watching,
        }

    def _described(self, model: Segmenter, is_default: bool) -> dict[str, Any]:
        return {
            "name": model.contract.name,
            "file": model.source,
            "version": model.version,
            "since": self.models.since(model),
            "default": is_default,
            "device": asdict(model.device),
            "contract": asdict(model.contract),
        }


def assemble(settings: Settings, ports: Ports, publish: Publish, traces: Traces | None = None) -> Service:
    """Put a server together, without its doors: no models yet, its dispatcher not started."""
    models, metrics = Models(), Metrics()
    live = LiveView(metrics, settings.max_viewers)
    trace = None if traces is None else traces.tell
    dispatcher = Dispatcher(models, metrics, settings, publish, live.show, trace=trace)
    return Service(settings, ports, models, metrics, dispatcher, live)
