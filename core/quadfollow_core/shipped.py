"""Where the models that come with quadfollow lie, and which one is the default."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from quadfollow_core.errors import NotFound

DEFAULT_MODEL = "follow-256"
PRECISIONS = ("fp16", "int8", "int8-fused")
"""Lower precisions in which a model can lie beside itself, such as ``follow-256.fp16.onnx``."""


def models_folder() -> Path:
    """The folder of shipped models: inside the installed package, or ``models/`` of a checkout."""
    package = Path(__file__).resolve().parent
    installed = package / "models"
    return installed if installed.is_dir() else package.parents[1] / "models"


def shipped_models() -> list[Path]:
    """The files of all shipped models, without their variants of lower precision."""
    lower = tuple(f".{precision}" for precision in PRECISIONS)
    return [path for path in sorted(models_folder().glob("*.onnx")) if not path.stem.endswith(lower)]


def lower_precision(model: Path, precision: str) -> Path:
    """Where a model's variant of a lower precision lies, whether or not there is one."""
    return model.with_suffix(f".{precision}{model.suffix}")


def find_model(name: str | None = None) -> Path:
    """Find an ONNX file by path, or a shipped model by its bare name; the default where no name is given.

    Raises:
        NotFound: there is no such file; the message lists the shipped models.
    """
    return _find(name or DEFAULT_MODEL, ".onnx", "model", shipped_models())


def find_network(name: str) -> Path:
    """Find a ``.keras`` file by path, or by its bare name one that is shipped to go on training with.

    Raises:
        NotFound: there is no such file; the message lists the shipped ones.
    """
    return _find(name, ".keras", "network", sorted(models_folder().glob("*.keras")))


def _find(name: str, suffix: str, kind: str, known: Iterable[Path]) -> Path:
    for candidate in (Path(name), models_folder() / f"{name}{suffix}"):
        if candidate.is_file():
            return candidate
    shipped = ", ".join(path.stem for path in known) or "none"
    raise NotFound(f"no {kind} {name!r}: give the path of a {suffix} file or a shipped {kind}'s name ({shipped})")
