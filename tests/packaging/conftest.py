"""The wheel, built once, and installed into an environment that knows nothing of this checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def run(*command: object, folder: Path, code: int | None = 0, **extra: str) -> subprocess.CompletedProcess[str]:
    """Run a command outside this checkout's reach, and require its exit code (None for any)."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "QUADFOLLOW"))}
    done = subprocess.run(
        [str(word) for word in command], cwd=folder, env=kept | extra, capture_output=True, text=True, check=False
    )
    assert code is None or done.returncode == code, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT, folder=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with the wheel in it; what it needs comes from this one's packages."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder / "venv", with_pip=False)
    python = folder / "venv" / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel, folder=folder)
    (site,) = (folder / "venv" / "lib").glob("*/site-packages")
    # A path file inside a folder that is only a path is not read, so the checkout's editable install stays out.
    (site / "needed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python
