"""What a flight has to do to be recorded; the packages that it takes are loaded only then."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from quadfollow_sim.recording.extra import require_mcap

if TYPE_CHECKING:
    from quadfollow_sim.recording.witness import FlightRecorder


def open_recorder(path: Path | None, stream: str, stack: contextlib.ExitStack) -> tuple[FlightRecorder, ...]:
    """Begin the recording that a flight is to leave behind; empty where it is to leave none.

    Raises:
        Unavailable: MCAP is not installed.
        BadInput: the file cannot be written.
    """
    if path is None:
        return ()
    require_mcap()
    from quadfollow_sim.recording.witness import FlightRecorder

    recorder = stack.enter_context(FlightRecorder(path, stream))
    click.echo(f"recording to {recorder.path}; people are in these pictures", err=True)
    return (recorder,)


def note_recording(report: dict[str, Any], recorder: tuple[FlightRecorder, ...]) -> None:
    """Add what became of a flight's recording to its report, if there is one."""
    for one in recorder:
        report["recording"] = one.summary()
        report["files"]["record"] = str(one.path)
