"""Looks for inputs that reach new code, and for any that a target neither takes nor refuses.

``python tests/fuzz/explore.py TARGET FOLDER [RUNS]``: begins with the kept corpus, writes what it found on its way to
FOLDER/TARGET, and ends with a code other than 0 where something failed; the input then lies in FOLDER/crash-…. Copy it
to corpus/TARGET, under a name that says what is wrong with it, and it is tried with every other test from then on.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["quadfollow_core", "quadfollow_sim", "mcap"]):
    from targets import CORPUS, TARGETS, Target, survives


def main() -> None:
    """Run one target."""
    name, folder, runs = sys.argv[1], Path(sys.argv[2]), (sys.argv[3:] or ["100000"])[0]
    found = folder / name
    found.mkdir(parents=True, exist_ok=True)
    options = [f"-runs={runs}", f"-artifact_prefix={folder}/crash-{name}-", "-max_len=20000", "-timeout=10"]
    atheris.Setup(
        [sys.argv[0], *options, "-print_final_stats=1", str(found), str(CORPUS / name)],
        lambda data: _try(TARGETS[name], data),
    )
    atheris.Fuzz()


def _try(target: Target, data: bytes) -> None:
    survives(target, bytes(data))


if __name__ == "__main__":
    main()
