"""One track per stream: whose frames are whose, and who is forgotten."""

from __future__ import annotations

from tests.core.eye import STEP, Eye, walk

from quadfollow_server.tracking import Tracks


def test_streams_do_not_mix() -> None:
    """Each stream has its own track; a silent one is forgotten, and so is the oldest when there are too many."""
    tracks = Tracks("kalman", silence=5.0, most=2)
    for k in range(5):
        one = tracks.update("one", Eye().look(k * STEP, walk(0)), now=k * STEP)
        two = tracks.update("two", Eye().look(k * STEP), now=k * STEP)
    assert (one.state, two.state) == ("following", "searching")
    tracks.update("two", Eye().look(1.0), now=6.0)
    assert len(tracks) == 1
    tracks.update("three", Eye().look(1.0), now=6.0)
    tracks.update("four", Eye().look(1.0), now=6.0)
    assert len(tracks) == 2


def test_a_stream_that_was_silent_for_long_begins_anew() -> None:
    """Though nobody else was heard meanwhile, its own next frame finds nothing of it."""
    states = {}
    for silence in (4.9, 5.1):
        tracks = Tracks("centroid", silence=5.0)
        for k in range(5):
            tracks.update("one", Eye().look(k * STEP, walk(0)), now=0.0)
        states[silence] = tracks.update("one", Eye().look(5 * STEP), now=silence).state
    assert states[4.9] != "searching", "control"
    assert states[5.1] == "searching"


def test_a_stream_can_be_reset() -> None:
    """A reset stream starts anew; resetting an unknown one is no fault."""
    tracks = Tracks("kalman")
    for k in range(5):
        tracks.update("one", Eye().look(k * STEP, walk(0)), now=0.0)
    tracks.reset("one")
    tracks.reset("nobody")
    assert tracks.update("one", Eye().look(5 * STEP, walk(0)), now=0.0).state == "searching"
