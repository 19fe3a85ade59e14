"""The server's log: lines for people, or one JSON object per line for what collects logs; both tell the same."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any

FORMATS = ("text", "json")
TEXT = "%(asctime)s %(levelname)s %(name)s %(message)s"


class Facts:
    """Values that a log line tells: JSON within a line of text, keys of their own in a JSON line."""

    def __init__(self, **values: Any) -> None:
        self.values = values

    def __str__(self) -> str:
        return json.dumps(self.values, default=str)


class JsonFormatter(logging.Formatter):
    """One JSON object: ``time`` (ISO 8601, UTC), ``level``, ``logger``, ``message``, the line's facts, ``trace``."""

    def format(self, record: logging.LogRecord) -> str:
        """Write one record."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        match record.args:
            case (Facts(values=values),):
                line |= {"message": str(record.msg).removesuffix(" %s")} | values
            case _:
                line["message"] = record.getMessage()
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def set_up(level: str, form: str) -> None:
    """Log to stderr from this level on, as ``text`` or as ``json``."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if form == "json" else logging.Formatter(TEXT))
    logging.basicConfig(level=level.upper(), handlers=[handler])
