"""What every flight's plan and report have in common."""

from __future__ import annotations

import re

from quadfollow_core.errors import BadInput


def require_address(server: str) -> None:
    """Make sure that this is the address of a ZeroMQ door.

    Raises:
        BadInput: it is not.
    """
    if not re.fullmatch(r"tcp://[^/\s]+:\d+|(ipc|inproc)://.+", server):
        raise BadInput(f"--server is the address of a ZeroMQ door, such as tcp://127.0.0.1:5555, got {server!r}")
