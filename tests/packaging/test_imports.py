"""Imports point one way, heavy libraries stay away from what serves and flies, and the rule really bites."""

from __future__ import annotations

import shutil
import sys
from importlib.metadata import distributions
from pathlib import Path

import pytest
from tests.packaging.conftest import ROOT, run

SOURCES = ("core", "server", "training", "export", "sim_bridge")
HEAVY = ("tensorflow", "keras", "tf2onnx", "onnx", "matplotlib", "mujoco", "ray")


@pytest.mark.parametrize("package", ["quadfollow_core", "quadfollow_server", "quadfollow_sim"])
def test_all_of_a_package_loads_without_the_training_stack(package: str, tmp_path: Path) -> None:
    """Every module of what serves and flies, imported in a fresh interpreter."""
    code = f"""
import importlib, pkgutil, sys
package = importlib.import_module("{package}")
for found in pkgutil.walk_packages(package.__path__, "{package}."):
    importlib.import_module(found.name)
print(*(name for name in {HEAVY} if name in sys.modules))
"""
    assert run(sys.executable, "-c", code, folder=tmp_path).stdout.split() == []


@pytest.mark.parametrize("package", ["quadfollow_training", "quadfollow_export"])
def test_the_heavy_packages_themselves_load_lightly(package: str, tmp_path: Path) -> None:
    """Naming a package, or its commands for the help page, loads no TensorFlow."""
    code = f"import {package}.cli, sys; print(*(name for name in {HEAVY} if name in sys.modules))"
    assert run(sys.executable, "-c", code, folder=tmp_path).stdout.split() == []


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources and their rules, to plant violations in."""
    folder = tmp_path_factory.mktemp("copied")
    shutil.copy(ROOT / "pyproject.toml", folder)
    for source in SOURCES:
        shutil.copytree(ROOT / source, folder / source, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.mark.parametrize(
    ("module", "planted", "code"),
    [
        ("core/quadfollow_core", "import json", 0),
        ("server/quadfollow_server", "import quadfollow_training", 1),
        ("core/quadfollow_core", "from quadfollow_server import engine", 1),
        ("sim_bridge/quadfollow_sim", "def late():\n    import tensorflow", 1),
    ],
    ids=["nothing wrong", "leaf to leaf", "core to leaf", "heavy and late"],
)
def test_the_import_rules_catch_a_planted_violation(copied: Path, module: str, planted: str, code: int) -> None:
    """The rules pass on the sources as they are, and fail on each kind of wrong import."""
    file = copied / module / "planted.py"
    file.write_text(planted + "\n")
    path = ":".join(str(copied / source) for source in SOURCES)
    linter = Path(sys.executable).with_name("lint-imports")
    try:
        run(linter, "--no-cache", folder=copied, code=code, PYTHONPATH=path)
    finally:
        file.unlink()


def test_only_one_onnxruntime_is_installed() -> None:
    """The CPU and the GPU distribution share a folder and overwrite each other."""
    names = {distribution.name.lower() for distribution in distributions()}
    assert len(names & {"onnxruntime", "onnxruntime-gpu"}) == 1
