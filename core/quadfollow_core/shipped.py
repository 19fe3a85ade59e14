"""Where the models that come with quadfollow lie, and which one is the default."""

from __future__ import annotations

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
    """Find a model's file by path, or a shipped model by its bare name; the default where no name is given.

    Raises:
        NotFound: there is no such file; the message lists the shipped models.
    """
    name = name or DEFAULT_MODEL
    for candidate in (Path(name), models_folder() / f"{name}.onnx"):
        if candidate.is_file():
            return candidate
    shipped = ", ".join(path.stem for path in shipped_models()) or "none"
    raise NotFound(f"no model {name!r}: give the path of an .onnx file or a shipped model's name ({shipped})")
