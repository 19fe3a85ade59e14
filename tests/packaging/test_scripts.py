"""The scripts in deploy where something is missing, with stand-ins for what they would install from."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.packaging.conftest import ROOT, run
from tests.packaging.test_setup import WITHOUT_PIP, write_program

FAILS = "#!/bin/sh\necho 'it cannot be had' >&2\nexit 100\n"
PIP_AND_NO_MORE = '#!/bin/sh\n[ "$*" = "-m pip --version" ]\n'
BASH = shutil.which("bash")
PYTHON = Path("/usr/bin/python3")
"""What triton_test.sh takes."""


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder for stand-ins, to come first in PATH."""
    folder = tmp_path / "bin"
    write_program(folder / "apt-get", FAILS)
    return folder


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the scripts and of what they read, in a folder with a space."""
    folder = tmp_path / "a checkout"
    shutil.copytree(ROOT / "deploy", folder / "deploy")
    for name in ("pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, folder)
    return folder


def test_without_a_network_there_is_no_browser_and_the_tests_go_on(programs: Path, tmp_path: Path) -> None:
    """Root on Debian without its archive: said, and no failure."""
    write_program(programs / "id", "#!/bin/sh\necho 0\n")
    for name in ("bash", "env", "grep"):
        (programs / name).symlink_to(str(shutil.which(name)))
    done = run(BASH, ROOT / "deploy" / "browser.sh", folder=tmp_path, PATH=str(programs))
    assert "will be skipped" in done.stdout


def libraries() -> str:
    """What the loader finds."""
    found = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=False)
    return found.stdout


@pytest.mark.skipif(not (PYTHON.exists() and Path("/sbin/ldconfig").exists()), reason="not Debian or Ubuntu")
def test_the_shared_library_is_found_without_roots_path(programs: Path, checkout: Path) -> None:
    """Debian's ordinary users have no /sbin in their PATH, where ldconfig is."""
    told = subprocess.run(
        [PYTHON, "-c", "import ensurepip, sys; print('%d.%d' % sys.version_info[:2])"],
        capture_output=True,
        text=True,
        check=False,
    )
    if told.returncode != 0 or f"libpython{told.stdout.strip()}.so.1.0 " not in libraries():
        pytest.skip("the system's Python has no shared library or no venv")
    write_program(programs / "id", "#!/bin/sh\necho 1000\n")
    for name in ("dirname", "grep", "mktemp", "rm"):
        (programs / name).symlink_to(str(shutil.which(name)))
    python = write_program(checkout / "triton" / "bin" / "python", PIP_AND_NO_MORE)
    script, venv = checkout / "deploy" / "triton_test.sh", str(python.parents[1])
    done = run(BASH, script, folder=checkout, code=1, PATH=str(programs), TRITON_VENV=venv)
    assert "please run: sudo apt-get" not in done.stderr
    assert "installing Triton" in done.stdout


def test_a_half_made_environment_is_made_whole(checkout: Path, tmp_path: Path) -> None:
    """Whoever stopped the first run while the environment was made, finds no trace of it in the second."""
    write_program(tmp_path / "half made" / "bin" / "python", WITHOUT_PIP)
    asked = tmp_path / "asked"
    python = str(write_program(tmp_path / "python3", f'#!/bin/sh\necho "$@" >>"{asked}"\nexit 9\n'))
    script, venv = checkout / "deploy" / "scale_test.sh", str(tmp_path / "half made")
    run(BASH, script, folder=checkout, code=9, PYTHON=python, SCALE_VENV=venv)
    assert asked.read_text() == f"-m venv {venv}\n"


def test_an_extra_that_there_is_not_is_refused(checkout: Path) -> None:
    """pip would look at the default install instead, and find nothing wrong with it."""
    venv = str(Path(sys.executable).parents[1])
    done = run(BASH, checkout / "deploy" / "supply.sh", "audit", folder=checkout, code=2, VENV=venv, EXTRAS="cudda")
    assert "there is no extra 'cudda'" in done.stderr
    assert not (checkout / "out" / "supply" / "served").exists()
