"""The models one server holds, found by name; the first is the default."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from quadfollow_core.errors import BadModel, NotFound, Unavailable
from quadfollow_core.shipped import find_model
from quadfollow_server.segmenter import Segmenter
from quadfollow_server.settings import Settings

if TYPE_CHECKING:
    from quadfollow_server.choice import Findings

Loader = Callable[[Settings], Sequence[Segmenter]]


@dataclass(frozen=True, slots=True)
class _Held:
    """What is served at one moment; taken and replaced as a whole, so that no frame meets half of a change."""

    all: tuple[Segmenter, ...] = ()
    by_name: Mapping[str, Segmenter] = field(default_factory=dict)
    since: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """When each version of a model came, by (name, version)."""


class Models:
    """Segmenters by their contract's name and by their file's stem; empty until loading is done."""

    def __init__(self) -> None:
        self._held = _Held()

    @property
    def all(self) -> tuple[Segmenter, ...]:
        """All that are served, the default one first."""
        return self._held.all

    @property
    def ready(self) -> bool:
        """Whether models are loaded and have run once."""
        return bool(self.all)

    def install(self, segmenters: Sequence[Segmenter]) -> None:
        """Take the loaded models, the default one first; frames that come next get these.

        Raises:
            BadModel: two of them have the same name.
        """
        named = {segmenter.contract.name: segmenter for segmenter in segmenters}
        if len(named) < len(segmenters):
            raise BadModel(f"two models have the same name: {[segmenter.contract.name for segmenter in segmenters]}")
        by_name = {Path(segmenter.source).stem: segmenter for segmenter in segmenters} | named
        now, before = datetime.now(UTC).isoformat(timespec="seconds"), self._held.since
        versions = [(name, segmenter.version) for name, segmenter in named.items()]
        self._held = _Held(tuple(segmenters), by_name, {version: before.get(version, now) for version in versions})

    def since(self, segmenter: Segmenter) -> str:
        """When this version of a model came, as an ISO 8601 time in UTC."""
        return self._held.since[segmenter.contract.name, segmenter.version]

    def get(self, name: str | None) -> Segmenter:
        """Find a model by contract name or file stem, the default where no name is given.

        Raises:
            Unavailable: models are still loading.
            NotFound: none has this name; the message lists those there are.
        """
        held = self._held
        if not held.all:
            raise Unavailable("the model is still loading: try again in a moment")
        if name is None:
            return held.all[0]
        if name not in held.by_name:
            raise NotFound(f"no model {name!r} here: {', '.join(model.contract.name for model in held.all)}")
        return held.by_name[name]


def model_paths(settings: Settings) -> list[Path]:
    """Find the files of every model that the settings name.

    Raises:
        NotFound: one of them is not there.
    """
    return [find_model(name) for name in settings.models or (None,)]


class ModelLoader:
    """Finds and loads every model that the settings name, the usual Loader.

    However often it loads a model, that runs in the way that was found to be the fastest at first.
    """

    def __init__(self) -> None:
        self._findings: Findings = {}

    def __call__(self, settings: Settings) -> Sequence[Segmenter]:
        """Load the models; see :func:`quadfollow_server.engine.load_model`."""
        from quadfollow_server.engine import load_model

        return [
            load_model(
                path,
                settings.device,
                threads=settings.threads,
                variant=settings.variant,
                findings=self._findings,
                at_once=settings.at_once,
            )
            for path in model_paths(settings)
        ]
