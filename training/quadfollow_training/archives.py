"""Unpacking a downloaded archive without trusting it."""

from __future__ import annotations

import shutil
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from quadfollow_core.errors import BadDataset, LimitExceeded

MAX_BYTES = 4 * 1024**3
SUFFIXES = {".jpeg", ".jpg", ".png"}
FAULTS = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    RuntimeError,  # encrypted; NotImplementedError, an unknown compression, is one of these
    NotADirectoryError,  # a member below another member, either way round
    IsADirectoryError,
    FileExistsError,
)


def unpack(archive: Path, out: Path, folder: str, max_bytes: int = MAX_BYTES) -> int:
    """Unpack the pictures of ``archive`` into ``out/folder`` and return their number.

    Whatever precedes ``folder`` in a member's path is dropped; the leavings of file managers are passed over.

    Raises:
        BadDataset: not an archive, a damaged or encrypted one, or one with a path that leads elsewhere.
        LimitExceeded: it would unpack to more than ``max_bytes``.
    """
    try:
        with zipfile.ZipFile(archive) as packed:
            members = [(info, place(info.filename, folder)) for info in packed.infolist() if _wanted(info)]
            total = sum(info.file_size for info, _ in members)
            if total > max_bytes:
                raise LimitExceeded("unpacked bytes", got=total, allowed=max_bytes)
            for info, target in members:
                path = out / target
                path.parent.mkdir(parents=True, exist_ok=True)
                with packed.open(info) as source, path.open("wb") as file:
                    shutil.copyfileobj(source, file)
    except FAULTS as error:
        raise BadDataset(f"{archive} cannot be unpacked: {error}") from error
    return len(members)


def place(name: str, folder: str) -> PurePosixPath:
    """Where a member goes below the output folder: ``x/train/images/a.jpeg`` to ``train/images/a.jpeg``.

    Raises:
        BadDataset: the path is absolute, climbs, or has a drive or backslashes.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name:
        raise BadDataset(f"the archive holds {name!r}, a path that leads elsewhere: nothing was unpacked")
    parts = path.parts[path.parts.index(folder) :] if folder in path.parts else (folder, *path.parts)
    return PurePosixPath(*parts)


def _wanted(info: zipfile.ZipInfo) -> bool:
    path = PurePosixPath(info.filename)
    hidden = "__MACOSX" in path.parts or path.name.startswith(".")
    return not info.is_dir() and not hidden and path.suffix.lower() in SUFFIXES
