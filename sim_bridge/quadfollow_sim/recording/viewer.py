"""Hands recordings to Rerun, which reads them as they are; a torn one is mended on the way."""

from __future__ import annotations

import tempfile
from pathlib import Path

from quadfollow_core.errors import BadDataset, BadInput, Unavailable
from quadfollow_core.files import save_whole
from quadfollow_sim.recording.reader import is_whole, repair

REMEDY = 'Rerun is not installed: pip install "quadfollow[rerun]"'


def show(path: Path) -> None:
    """Open a recording in Rerun's viewer, a program of its own that goes on when this one ends.

    Raises:
        Unavailable: Rerun is not installed, or its viewer does not start.
        BadDataset: no recording.
    """
    _load(path, None)


def convert(path: Path, out: Path) -> None:
    """Write a recording as Rerun's own ``.rrd``.

    Raises:
        Unavailable: Rerun is not installed.
        BadDataset: no recording.
        BadInput: ``out`` is no ``.rrd``.
    """
    if out.suffix != ".rrd":
        raise BadInput(f"Rerun's own files are named NAME.rrd, got {out}")
    save_whole(out, lambda part: _load(path, part))


def _load(path: Path, out: Path | None) -> None:
    try:
        import rerun
    except ModuleNotFoundError as error:
        raise Unavailable(REMEDY) from error
    if not path.is_file():
        raise BadDataset(f"no recording {path}")
    with tempfile.TemporaryDirectory() as folder:
        whole = path
        if not is_whole(path):
            whole = Path(folder) / path.name
            repair(path, whole)
        recording = rerun.RecordingStream("quadfollow")
        try:
            _open(recording, out)
            recording.log_file_from_path(whole)
            recording.flush()
        finally:
            recording.disconnect()


def _open(recording: object, out: Path | None) -> None:
    """Say where the recording goes: to a file, or to a viewer that is started."""
    try:
        if out is None:
            recording.spawn()  # type: ignore[attr-defined]
        else:
            recording.save(out)  # type: ignore[attr-defined]
    except RuntimeError as error:
        raise Unavailable(
            f"Rerun's viewer does not start ({error}): use --save NAME.rrd and open it elsewhere"
        ) from error
