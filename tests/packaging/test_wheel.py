"""What people install is the wheel, so the wheel is what is tested: away from the checkout."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

from tests.packaging.conftest import ROOT, run

from quadfollow_core.shipped import DEFAULT_MODEL, shipped_models

PACKAGES = ("core", "server", "training", "export", "sim")


def test_the_wheel_holds_the_packages_the_models_and_nothing_else(wheel: Path) -> None:
    """No tests, no runs, no networks but the shipped models, and the licence with it."""
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    packages = {f"quadfollow_{name}" for name in PACKAGES}
    assert {top for top in tops if not top.endswith(".dist-info")} == packages
    others = [name for name in names if not name.startswith("quadfollow_core/models/")]
    assert [name for name in others if "/tests/" in name or name.endswith((".keras", ".pyc", ".csv"))] == []
    assert {f"{package}/py.typed" for package in packages} <= set(names)
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_every_shipped_model_is_in_the_wheel_with_its_card(wheel: Path) -> None:
    """Models lie inside the core package, each under 4 MB, the default among them."""
    inside = {
        Path(entry.filename).name: entry.file_size
        for entry in zipfile.ZipFile(wheel).infolist()
        if entry.filename.startswith("quadfollow_core/models/")
    }
    models = {path.name for path in shipped_models()}
    assert f"{DEFAULT_MODEL}.onnx" in models
    assert models | {Path(model).with_suffix(".md").name for model in models} <= inside.keys()
    assert {path.name for path in (ROOT / "models").glob("*.onnx")} <= inside.keys(), "variants come too"
    assert max(inside.values()) < 4_000_000
    assert sum(inside.values()) < 12_000_000


def test_the_live_views_page_is_in_the_wheel(wheel: Path) -> None:
    """Every file of it lies inside the server's package."""
    page = {f"quadfollow_server/web/{file.name}" for file in (ROOT / "server/quadfollow_server/web").iterdir()}
    assert "quadfollow_server/web/index.html" in page
    assert page <= set(zipfile.ZipFile(wheel).namelist())


def test_the_command_works_from_another_folder(installed: Path, tmp_path: Path) -> None:
    """Version, help and the list of what is installed need no checkout."""
    command = installed.with_name("quadfollow")
    assert run(command, "--version", folder=tmp_path).stdout.startswith("quadfollow, version ")
    helped = run(command, "--help", folder=tmp_path).stdout
    for name in ("serve", "train", "export", "fly", "score", "demo", "info", "data", "evaluate", "completion"):
        assert f"  {name} " in helped
    told = json.loads(run(command, "info", "--json", folder=tmp_path).stdout)
    assert DEFAULT_MODEL in [model["name"] for model in told["models"]]


def test_every_package_is_imported_from_the_environment(installed: Path, tmp_path: Path) -> None:
    """None of them comes from this checkout."""
    code = f"import quadfollow_{', quadfollow_'.join(PACKAGES)}, sys\n" + (
        "print(*(module.__file__ for name, module in sys.modules.items() if name.startswith('quadfollow_')), sep='\\n')"
    )
    files = run(installed, "-c", code, folder=tmp_path).stdout.split()
    assert len(files) >= len(PACKAGES)
    assert [file for file in files if not file.startswith(str(installed.parents[1]))] == []


def test_usage_errors_exit_with_two(installed: Path, tmp_path: Path) -> None:
    """An unknown command is wrong usage, and says so on stderr."""
    done = run(installed.with_name("quadfollow"), "swim", folder=tmp_path, code=2)
    assert "No such command" in done.stderr
    assert done.stdout == ""
