"""`make setup` from a half-made environment, with a stand-in for Python that only writes down what it is asked."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.packaging.conftest import ROOT, run

STAND_IN = """#!/bin/sh
echo "$@" >>"$ASKED"
case "$*" in "-m venv --clear "*) mkdir -p "$4/bin" && cp "$0" "$4/bin/python" ;; esac
"""
WITHOUT_PIP = '#!/bin/sh\n[ "$2" != pip ]\n'
OF_VERSION = '#!/bin/sh\ncase "$*" in *python_version*) echo {} ;; esac\n'
TOO_OLD = "#!/bin/sh\nexit 1\n"
NEEDED = ("libGL.so.1", "libgthread-2.0.so.0", "libEGL.so.1", "libEGL_mesa.so.0")
LIBRARIES = "\n".join(["#!/bin/sh", *(f"echo '{name} '" for name in NEEDED), ""])


def write_program(path: Path, text: str) -> Path:
    """Write something to execute."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def stand_in(folder: Path) -> dict[str, str]:
    """The environment of a run on ``folder/venv`` with stand-ins alone, none of them Python."""
    write_program(folder / "bin" / "ldconfig", LIBRARIES)
    write_program(folder / "bin" / "apt-get", TOO_OLD)
    return {"VENV": str(folder / "venv"), "PATH": f"{folder / 'bin'}:/usr/bin:/bin"}


def set_up(folder: Path) -> list[str]:
    """Run the script on ``folder/venv`` and return what the stand-ins were asked to run as a module."""
    python = write_program(folder / "bin" / "python3", STAND_IN)
    asked = folder / "asked"
    asked.write_text("")
    given = stand_in(folder) | {"PYTHON": str(python), "ASKED": str(asked)}
    run(shutil.which("bash"), ROOT / "deploy" / "setup.sh", folder=folder, **given)
    return [line for line in asked.read_text().splitlines() if line.startswith("-m ")]


@pytest.mark.parametrize("interpreter", [None, TOO_OLD, WITHOUT_PIP], ids=["nothing", "too old", "no pip"])
def test_an_unusable_environment_is_made_anew(tmp_path: Path, interpreter: str | None) -> None:
    """An environment that is not there, too old or without pip is made, once; what works is kept."""
    if interpreter is not None:
        write_program(tmp_path / "venv" / "bin" / "python", interpreter)
    making = f"-m venv --clear {tmp_path / 'venv'}"
    first = set_up(tmp_path)
    assert first[0] == making
    assert first[-1].startswith("-m pip install ")
    second = set_up(tmp_path)
    assert making not in second
    assert second[-1] == first[-1]


def test_a_folder_that_is_no_environment_is_left_alone(tmp_path: Path) -> None:
    """VENV may name a folder of somebody's things by mistake: it is not emptied."""
    write_program(tmp_path / "venv" / "thesis.txt", "years of work")
    python = write_program(tmp_path / "bin" / "python3", STAND_IN)
    asked = tmp_path / "asked"
    given = stand_in(tmp_path) | {"PYTHON": str(python), "ASKED": str(asked)}
    done = run(shutil.which("bash"), ROOT / "deploy" / "setup.sh", folder=tmp_path, code=1, **given)
    assert "is no virtual environment" in done.stderr
    assert "venv --clear" not in asked.read_text()


def test_an_environment_of_another_python_than_the_named_one_is_told_of(tmp_path: Path) -> None:
    """It stays as it is, with the remedy; the Python that it has, or none by name, is no reason to refuse."""
    for version in ("3.11.2", "3.12.1"):
        write_program(tmp_path / "bin" / f"python{version[:4]}", OF_VERSION.format(version))
    write_program(tmp_path / "bin" / "python3", OF_VERSION.format("3.12.1"))
    write_program(tmp_path / "venv" / "bin" / "python", OF_VERSION.format("3.11.2"))
    script, given = ROOT / "deploy" / "setup.sh", stand_in(tmp_path)
    done = run(shutil.which("bash"), script, folder=tmp_path, code=1, **given, PYTHON="python3.12")
    assert "is there with Python 3.11.2, and python3.12 is 3.12.1" in done.stderr
    assert "make clean" in done.stderr
    for named in ("python3.11", ""):
        run(shutil.which("bash"), script, folder=tmp_path, **given, PYTHON=named)


@pytest.mark.parametrize(("named", "runs"), [([], False), (["PYTHON=python3.12"], True)])
def test_make_asks_the_script_about_a_python_that_is_named(tmp_path: Path, named: list[str], runs: bool) -> None:
    """An environment that is ready is left alone, unless a Python is named: it may have another one."""
    ready = tmp_path / "venv" / ".ready"
    ready.parent.mkdir()
    ready.touch()
    done = run("make", "--dry-run", "--directory", ROOT, "setup", f"VENV={ready.parent}", *named, folder=tmp_path)
    assert ("deploy/setup.sh" in done.stdout) == runs
