"""The models one server holds, found by name; the first is the default."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from quadfollow_core.errors import BadModel, NotFound, Unavailable
from quadfollow_core.shipped import find_model
from quadfollow_server.segmenter import Segmenter
from quadfollow_server.settings import Settings

Loader = Callable[[Settings], Sequence[Segmenter]]


class Models:
    """Segmenters by their contract's name and by their file's stem; empty until loading is done."""

    def __init__(self) -> None:
        self.all: tuple[Segmenter, ...] = ()
        self._by_name: dict[str, Segmenter] = {}

    @property
    def ready(self) -> bool:
        """Whether models are loaded and have run once."""
        return bool(self.all)

    def install(self, segmenters: Sequence[Segmenter]) -> None:
        """Take the loaded models, the default one first.

        Raises:
            BadModel: two of them have the same name.
        """
        named = {segmenter.contract.name: segmenter for segmenter in segmenters}
        if len(named) < len(segmenters):
            raise BadModel(f"two models have the same name: {[segmenter.contract.name for segmenter in segmenters]}")
        self._by_name = {Path(segmenter.source).stem: segmenter for segmenter in segmenters} | named
        self.all = tuple(segmenters)

    def get(self, name: str | None) -> Segmenter:
        """Find a model by contract name or file stem, the default where no name is given.

        Raises:
            Unavailable: models are still loading.
            NotFound: none has this name; the message lists those there are.
        """
        if not self.ready:
            raise Unavailable("the model is still loading: try again in a moment")
        if name is None:
            return self.all[0]
        if name not in self._by_name:
            raise NotFound(f"no model {name!r} here: {', '.join(model.contract.name for model in self.all)}")
        return self._by_name[name]


def load_models(settings: Settings) -> Sequence[Segmenter]:
    """Find and load every model that the settings name; the usual Loader."""
    from quadfollow_server.engine import load_model

    paths = [find_model(name) for name in settings.models or (None,)]
    return [load_model(path, settings.device, settings.threads) for path in paths]
