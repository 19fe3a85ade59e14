"""Fetching Udacity's three published archives and checking every frame against the manifest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from quadfollow_core.errors import BadDataset, LimitExceeded
from quadfollow_core.official_frames import read_manifest
from quadfollow_training.archives import unpack
from quadfollow_training.download import Patience, Progress, download
from quadfollow_training.manifest import compare, hash_files, list_files

BASE_URL = "https://s3-us-west-1.amazonaws.com/udacity-robotics/Deep+Learning+Data"
ARCHIVES = {
    "train": "Lab/train.zip",
    "validation": "Lab/validation.zip",
    "sample_evaluation_data": "Project/sample_evaluation_data.zip",
}
TIMEOUT = httpx.Timeout(30.0)


def fetch(
    out: Path,
    *,
    base_url: str = BASE_URL,
    expected: dict[str, str] | None = None,
    progress: Callable[[str], Progress] = lambda name: lambda done, total: None,
    patience: Patience | None = None,
) -> dict[str, Any]:
    """Download, unpack and check the official data; a set that is already whole is left alone.

    Args:
        out: where ``train``, ``validation`` and ``sample_evaluation_data`` go.
        base_url: where the archives are published, or a mirror of it.
        expected: the manifest to check against; by default that of the official frames.
        progress: given an archive's name, returns what is told of its bytes.
        patience: how long to try.

    Raises:
        BadDataset: pictures on disk or in an archive that differ from the manifest; all of them are named.
        NotFound, ServerGone: an archive cannot be had.
    """
    manifest = read_manifest() if expected is None else expected
    refuse_foreign(out, manifest)
    store = out / ".download"
    store.mkdir(parents=True, exist_ok=True)
    fetched = []
    with httpx.Client(timeout=TIMEOUT, follow_redirects=True) as client:
        for folder, place in ARCHIVES.items():
            if not check(out, folder, manifest):
                continue
            archive = store / Path(place).name
            if not archive.exists():
                download(client, f"{base_url.rstrip('/')}/{place}", archive, progress(folder), patience)
            unpack_checked(archive, out, folder, manifest)
            fetched.append(folder)
    return {"data": str(out), "fetched": fetched, "files": len(manifest), "verified": True}


def refuse_foreign(out: Path, manifest: dict[str, str]) -> None:
    """Refuse to download beside pictures that no download would replace or remove.

    Raises:
        BadDataset: there are some; all of them are named.
    """
    foreign = [f"{out / name}: not an official file" for name in list_files(out, ARCHIVES) if name not in manifest]
    if foreign:
        raise BadDataset(f"{len(foreign)} foreign file(s): move them elsewhere, or choose another --out:", foreign)


def unpack_checked(archive: Path, out: Path, folder: str, manifest: dict[str, str]) -> None:
    """Unpack one archive, check its frames, and drop the archive (a bad one too, so that it is fetched anew).

    Whatever else ends the unpacking, such as a full disk, the archive stays.
    """
    try:
        unpack(archive, out, folder)
    except (BadDataset, LimitExceeded):
        archive.unlink()
        raise
    archive.unlink()
    problems = check(out, folder, manifest)
    if problems:
        raise BadDataset(f"{len(problems)} file(s) of {folder} differ from the official frames:", problems)


def check(out: Path, folder: str, manifest: dict[str, str]) -> list[str]:
    """Compare a set's files on disk with the manifest; return a line per difference."""
    expected = {name: digest for name, digest in manifest.items() if name.startswith(f"{folder}/")}
    return compare(expected, hash_files(out, [folder]))
