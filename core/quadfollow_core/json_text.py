"""JSON as the wire carries it: objects in as few bytes as it takes, in UTF-8, finite numbers only.

orjson does it in a fraction of the time; what it refuses or would change, Python's own ``json`` reads or names.
"""

from __future__ import annotations

import json
from typing import Any

import orjson

from quadfollow_core.errors import BadMessage

_OURS = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS
"""What orjson would write in a form of its own is left to the other, which refuses it."""
_STRICT = json.JSONEncoder(separators=(",", ":"), allow_nan=False)


def dump(value: dict[str, Any]) -> bytes:
    """Write what somebody hands in.

    Raises:
        BadMessage: it holds what JSON cannot, such as NaN or a set.
    """
    text = dump_finite(value)
    if b"null" in text:  # as which orjson writes NaN too
        _dump_strictly(value)
    return text


def dump_finite(value: dict[str, Any]) -> bytes:
    """Write what is known to hold finite numbers; NaN would become ``null``.

    Raises:
        BadMessage: it holds what JSON cannot.
    """
    try:
        return orjson.dumps(value, option=_OURS)
    except TypeError:  # a number of NumPy's that Python takes for one of its own, or nothing that JSON knows
        return _dump_strictly(value)


def load(text: bytes | bytearray | memoryview | str) -> Any:
    """Read a value, ``NaN`` too, so that who sent it can be told where it stands; integers over 64 bits become floats.

    Raises:
        ValueError, RecursionError: it is not JSON.
    """
    try:
        return orjson.loads(text)
    except ValueError:
        return json.loads(text if isinstance(text, str) else bytes(text))


def _dump_strictly(value: dict[str, Any]) -> bytes:
    try:
        return _STRICT.encode(value).encode()
    except (ValueError, TypeError) as error:
        raise BadMessage(f"a header holds what JSON knows, and finite numbers only: {error}") from error
