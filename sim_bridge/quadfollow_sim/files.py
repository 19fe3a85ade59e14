"""What every flight's plan and report have in common."""

from __future__ import annotations

import re
from pathlib import Path

from quadfollow_core.errors import BadInput


def require_address(server: str) -> None:
    """Make sure that this is the address of a ZeroMQ door.

    Raises:
        BadInput: it is not.
    """
    if not re.fullmatch(r"tcp://[^/\s]+:\d+|(ipc|inproc)://.+", server):
        raise BadInput(f"--server is the address of a ZeroMQ door, such as tcp://127.0.0.1:5555, got {server!r}")


def write_whole(path: Path, text: str) -> None:
    """Write a file so that its name never stands for half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_text(text + "\n")
    part.replace(path)
