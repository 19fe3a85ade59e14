"""The official frames, by hash: what a download must contain, and what must never be trained on.

``official_frames.txt.gz`` lists every file of Udacity's three archives as a path below the data folder and the first
16 hex digits of its SHA-256. It is made from a trusted copy by ``python -m quadfollow_training.manifest DIR``.
"""

from __future__ import annotations

import gzip
import hashlib
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from quadfollow_core.scoring import SETS

MANIFEST = Path(__file__).with_name("official_frames.txt.gz")
FOLDERS = ("train", "validation", "sample_evaluation_data")
DIGITS = 16


def short_hash(data: bytes) -> str:
    """The first 16 hex digits of SHA-256: enough to recognise a file, small enough to ship thousands."""
    return hashlib.sha256(data).hexdigest()[:DIGITS]


def read_manifest(path: Path = MANIFEST) -> dict[str, str]:
    """Read a manifest as path below the data folder → short hash."""
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    return dict(line.rsplit(" ", 1) for line in lines)


@cache
def evaluation_images() -> frozenset[str]:
    """Short hashes of the official evaluation images."""
    wanted = tuple(f"sample_evaluation_data/{name}/images/" for name in SETS)
    return frozenset(digest for name, digest in read_manifest().items() if name.startswith(wanted))


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
