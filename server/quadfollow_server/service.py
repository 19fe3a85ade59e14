"""What the doors share: models, dispatcher, counters, and what the server tells of itself."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

from quadfollow_server.binding import Ports
from quadfollow_server.dispatch import Dispatcher
from quadfollow_server.metrics import Metrics
from quadfollow_server.models import Models
from quadfollow_server.segmenter import Segmenter
from quadfollow_server.settings import Settings

VERSION = version("quadfollow")


@dataclass(slots=True)
class Service:
    """One serving process, as its doors see it."""

    settings: Settings
    ports: Ports
    models: Models
    metrics: Metrics
    dispatcher: Dispatcher
    stopping: bool = False

    @property
    def not_ready(self) -> str | None:
        """Why no frame can be answered now; None when frames can."""
        if self.stopping:
            return "the server is stopping"
        return None if self.models.ready else "the model is still loading"

    def info(self) -> dict[str, Any]:
        """What this server is: version, models with their contracts and devices, limits, ports."""
        return {
            "name": "quadfollow",
            "version": VERSION,
            "ready": self.not_ready is None,
            "models": [_described(model, is_default=model is self.models.all[0]) for model in self.models.all],
            "tracker": self.settings.tracker,
            "limits": self.settings.limits,
            "ports": self.ports.as_dict(),
        }


def _described(model: Segmenter, *, is_default: bool) -> dict[str, Any]:
    return {
        "name": model.contract.name,
        "file": model.source,
        "default": is_default,
        "device": asdict(model.device),
        "contract": asdict(model.contract),
    }
