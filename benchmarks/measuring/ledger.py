"""What became of every frame that the clients of a load test sent: each id meets one fate, and each fate is counted."""

from __future__ import annotations

import threading
import time
from array import array
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any

Span = tuple[float, float]
"""From, until: seconds of the monotonic clock."""
ANSWERED, GONE = "answered", "its client left"
KILLED = "in a server that died"
LOST, DOUBLE = "LOST", "ANSWERED TWICE"
GRACE = 1.0
"""Seconds that a client may take to find a server that has come back, beyond its own time-out."""


@dataclass(frozen=True, slots=True)
class Loss:
    """A frame without an answer."""

    who: str
    span: Span
    """From its sending until its client gave it up."""


class Ledger:
    """Counts fates by kind of client; used from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._fates: dict[str, Counter[str]] = defaultdict(Counter)
        self._losses: list[Loss] = []
        self._answers, self._ages = array("d"), array("d")
        self.fallen: list[str] = []
        """Where the code of a client itself failed."""

    def note(self, who: str, fate: str) -> None:
        """Count what became of a frame."""
        with self._lock:
            self._fates[who][fate] += 1

    def answered(self, who: str, seconds: float) -> None:
        """Count an answer, so many seconds after its frame was taken."""
        with self._lock:
            self._fates[who][ANSWERED] += 1
            self._answers.append(time.monotonic())
            self._ages.append(1000 * seconds)

    def lose(self, who: str, sent: float) -> None:
        """Note that a frame is given up now."""
        with self._lock:
            self._losses.append(Loss(who, (sent, time.monotonic())))

    def fall(self, trace: str) -> None:
        """Note that a client fell over."""
        with self._lock:
            self.fallen.append(trace)

    def ages(self, span: Span) -> list[float]:
        """The ages in milliseconds of the answers that came within a span."""
        with self._lock:
            came = zip(self._answers, self._ages, strict=True)
            return [age for when, age in came if span[0] <= when < span[1]]

    def fates(self, downs: list[Span]) -> dict[str, dict[str, int]]:
        """All fates by kind of client; what was lost while no server was there is told apart.

        Args:
            downs: from each death of a server until its successor was ready.
        """
        with self._lock:
            told = {who: Counter(counted) for who, counted in self._fates.items()}
            for loss in self._losses:
                told.setdefault(loss.who, Counter())[KILLED if _during(loss.span, downs) else LOST] += 1
        return {who: dict(sorted(counted.items())) for who, counted in sorted(told.items())}


def fate_of(body: dict[str, Any]) -> str:
    """The fate that a reply of the wire, or a problem document, tells."""
    if body.get("type") == "result":
        return ANSWERED
    if "reason" in body:
        return f"dropped: {body['reason']}"
    return f"refused: {body.get('code', body.get('type'))}"


def _during(span: Span, downs: list[Span]) -> bool:
    return any(span[0] <= end + GRACE and begin <= span[1] for begin, end in downs)
