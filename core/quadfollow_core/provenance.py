"""Which commit a module's source is at."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path


def git_commit(module_file: str | Path) -> str | None:
    """Name the commit a module's source is at, with ``-dirty`` behind it if the checkout is changed.

    None where there is no git to ask, or the file is not one that git tracks.
    """
    file = Path(module_file)
    if shutil.which("git") is None or _git(file.parent, "ls-files", "--error-unmatch", file.name) is None:
        return None
    return _git(file.parent, "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*")


def _git(folder: Path, *arguments: str) -> str | None:
    """What git answers in a folder, or None where it refuses."""
    command = ["git", *arguments]
    found = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return found.stdout.strip() if found.returncode == 0 else None
