"""What every flight's plan and report have in common."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from quadfollow_core.errors import BadInput


def require_address(address: str, option: str = "--server", port: int = 5555) -> None:
    """Make sure that this is the address of a ZeroMQ door, given by an option.

    Raises:
        BadInput: it is not.
    """
    if not re.fullmatch(r"tcp://[^/\s]+:\d+|(ipc|inproc)://.+", address):
        raise BadInput(f"{option} is the address of a ZeroMQ door, such as tcp://127.0.0.1:{port}, got {address!r}")


def require_positive(plan: object, *names: str) -> None:
    """Make sure that these numbers of a plan, options by the same names, are above zero and finite, where given.

    Raises:
        BadInput: one is not.
    """
    for name in names:
        value = getattr(plan, name)
        if value is not None and not 0 < value < math.inf:
            raise BadInput(f"--{name} must be above zero and finite, got {value}")


def in_words(values: Mapping[str, Any]) -> str:
    """Values by their names, to be read; what is None, false or empty is left out."""
    return ", ".join(_words(values))


def _words(values: Mapping[str, Any]) -> Iterator[str]:
    for key, value in values.items():
        name = key.replace("_", " ")
        match value:
            case None | False | "":
                continue
            case True:
                yield name
            case float():
                yield f"{name} {value:g}"
            case Mapping():
                yield from _words(value)
            case _:
                yield f"{name} {value}"
