"""A wall clock that jumps, as one does that is set by a network or a GPS receiver."""

from __future__ import annotations

import itertools
import time
from typing import Any

import pytest

from quadfollow_server.running import RunningServer
from quadfollow_server.settings import Settings


def test_a_jumping_clock_changes_no_answer(settings: Settings, dealer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wall clock goes an hour ahead and two back with each look at it: ages, deadlines and tracks do not notice."""
    begun, jumps = time.time(), itertools.cycle([3600.0, -3600.0])
    monkeypatch.setattr(time, "time", lambda: begun + next(jumps))
    with RunningServer(settings) as server:
        client = dealer(server.address)
        answers = [client.ask(0, want=["target", "track"], deadline_ms=60_000)]
        while answers[-1]["track"]["state"] != "following" or len(answers) < 8:
            answers.append(client.ask(len(answers), want=["target", "track"], deadline_ms=60_000))
    assert {answer["type"] for answer in answers} == {"result"}
    assert all(0 <= answer["held_ms"] < 60_000 for answer in answers)
