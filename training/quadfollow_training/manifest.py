"""Making the manifest of the official frames, and holding files against it; see :mod:`quadfollow_core.official_frames`.

``python -m quadfollow_training.manifest DIR`` makes it from a trusted copy.
"""

from __future__ import annotations

import gzip
import sys
from collections.abc import Iterable
from pathlib import Path

from quadfollow_core.official_frames import MANIFEST, short_hash
from quadfollow_core.scoring import EVALUATION

FOLDERS = ("train", "validation", EVALUATION)


def hash_files(root: Path, folders: Iterable[str] = FOLDERS) -> dict[str, str]:
    """Hash every picture below ``root``'s folders."""
    return {name: short_hash((root / name).read_bytes()) for name in list_files(root, folders)}


def list_files(root: Path, folders: Iterable[str] = FOLDERS) -> list[str]:
    """List every picture below ``root``'s folders, as paths below ``root``."""
    paths = [path for folder in folders for path in (root / folder).rglob("*") if _is_picture(path)]
    return [path.relative_to(root).as_posix() for path in sorted(paths)]


def write_manifest(hashes: dict[str, str], path: Path = MANIFEST) -> None:
    """Write a manifest; the same hashes give the same bytes."""
    text = "".join(f"{name} {digest}\n" for name, digest in sorted(hashes.items()))
    path.write_bytes(gzip.compress(text.encode(), compresslevel=9, mtime=0))


def compare(expected: dict[str, str], found: dict[str, str]) -> list[str]:
    """Say in a line each which files are missing, altered or unexpected."""
    problems = [f"{name}: missing" for name in expected.keys() - found.keys()]
    problems += [f"{name}: not an official file" for name in found.keys() - expected.keys()]
    problems += [f"{name}: altered" for name in expected.keys() & found.keys() if expected[name] != found[name]]
    return sorted(problems)


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in {".jpeg", ".jpg", ".png"} and path.is_file()


if __name__ == "__main__":
    write_manifest(hash_files(Path(sys.argv[1])))
