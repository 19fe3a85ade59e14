"""What the repository itself promises: pins that fit, no addresses of registries, no folders of one machine."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from tests.packaging.conftest import ROOT

# Written in pieces, so that this file does not name them either.
REGISTRIES = tuple(
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("deb", "debian", "org"),
        ("npmjs", "org"),
        ("docker", "io"),
        ("ghcr", "io"),
        ("quay", "io"),
        ("nvcr", "io"),
    )
)
MACHINE = tuple("/" + folder + "/" for folder in ("work", "root"))


def tracked() -> list[Path]:
    """Every text file git tracks; without git (an unpacked archive, another's checkout) there is nothing to check."""
    if shutil.which("git") is None:
        pytest.skip("no git")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode != 0 or not listed.stdout:
        pytest.skip("not a git checkout")
    paths = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    return [path for path in paths if path.is_file() and b"\0" not in path.read_bytes()[:8000]]


@pytest.mark.parametrize("variable", ["PATH", "GIT_DIR"])
def test_without_git_there_is_nothing_to_check(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str) -> None:
    """A machine without git, or a git that refuses this folder, skips these checks."""
    monkeypatch.setenv(variable, str(tmp_path))
    with pytest.raises(pytest.skip.Exception):
        tracked()


def found(words: tuple[str, ...]) -> list[str]:
    """Name each place where one of these words stands."""
    pattern = re.compile("|".join(map(re.escape, words)))
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}"
        for path in tracked()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if pattern.search(line)
    ]


def test_no_registry_is_named() -> None:
    """Packages are named, the places they come from are each user's own configuration."""
    assert found(REGISTRIES) == []


def test_no_folder_of_one_machine_is_named() -> None:
    """Nothing here only works on the machine it was written on."""
    assert found(MACHINE) == []


def pins() -> dict[str, str]:
    """The pinned version of every package."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    rows = [line.partition("==") for line in lines if line and not line.startswith("#")]
    assert all(mark == "==" and version for _, mark, version in rows)
    return {canonicalize_name(name): version for name, _, version in rows}


def test_every_dependency_is_pinned_within_its_range() -> None:
    """A direct dependency without a pin, or with one outside its range, would install something untested."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(line for extra in project["optional-dependencies"].values() for line in extra),
    ]
    requirements = [Requirement(line) for line in wanted]
    pinned = pins()
    wrong = [
        str(requirement)
        for requirement in requirements
        if requirement.name != "quadfollow"
        and not requirement.specifier.contains(pinned.get(canonicalize_name(requirement.name), "0"))
    ]
    assert wrong == []


def asked_for() -> set[str]:
    """What `make setup` asks for on this machine: the direct dependencies of the default install and of `dev`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    waiting, names = [*project["dependencies"], *extras["dev"]], set()
    while waiting:
        requirement = Requirement(waiting.pop())
        if requirement.name == "quadfollow":
            waiting += [line for extra in requirement.extras for line in extras[extra]]
        elif requirement.marker is None or requirement.marker.evaluate():
            names.add(canonicalize_name(requirement.name))
    return names


def installed(name: str) -> str | None:
    """The version of a package that is installed, or None."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def test_what_is_asked_for_is_found_through_the_extras() -> None:
    """The training stack, reached by two extras, is asked for; the runtime for other machines is not."""
    names = asked_for()
    assert {"numpy", "pytest", "tensorflow", "tf2onnx"} <= names
    assert "quadfollow" not in names
    assert len(names & {"onnxruntime", "onnxruntime-gpu"}) == 1


def test_what_is_installed_is_what_is_pinned() -> None:
    """The tests speak for the pinned versions only if those are the ones installed, TensorFlow and all."""
    needed = asked_for()
    differing = {
        name: (present, pinned)
        for name, pinned in pins().items()
        if (present := installed(name)) != pinned and (present is not None or name in needed)
    }
    assert differing == {}


@pytest.mark.parametrize("model", ["160", "256"])
def test_make_train_gives_every_option_a_value(model: str) -> None:
    """With DATA alone: what a variable leaves empty would take the next option for its value."""
    words = subprocess.run(
        ["make", "-n", "train", "DATA=sets", f"MODEL={model}"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert f"export runs/{'regular-160' if model == '160' else 'mean-256'} " in words
    assert "--count 12800 " in words
    assert not re.search(r"--(?!resume|int8)[a-z-]+\s+(-|$)", words.replace("\\\n", " "), re.MULTILINE)
