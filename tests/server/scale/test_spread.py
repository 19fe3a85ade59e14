"""The books of a gateway: nothing is owed twice, forgotten, or given to a replica that is gone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quadfollow_core.errors import Overloaded, QuadfollowError, Unavailable
from quadfollow_server.scale import spread as module
from quadfollow_server.scale.spread import Flight, Leaving, Spread

STREAM = (b"client", "stream")


def test_a_stream_stays_while_something_of_it_is_under_way() -> None:
    """A second replica gets the next stream, not half of this one."""
    books = Spread()
    books.hear(b"a", 0)
    assert books.send(STREAM, 1, 0) == b"a"
    books.hear(b"b", 0)
    assert books.send(STREAM, 2, 0) == b"a"
    assert books.send((b"client", "other"), 1, 0) == b"b"


def test_a_silent_stream_is_forgotten_with_what_is_owed_of_it() -> None:
    """Its frames are told to be lost once; an answer that comes afterwards is no longer owed."""
    books = Spread()
    books.hear(b"a", 0)
    books.send(STREAM, 1, 0)
    assert books.expire(module.LANE_SECONDS) == []
    assert books.expire(module.LANE_SECONDS + 1) == [Flight(STREAM, 1)]
    assert not books.settle(STREAM, 1)
    assert books.lanes_of(b"a") == 0


def test_a_leaving_replica_gets_no_more() -> None:
    """What it owes is waited for, and then the stream goes on elsewhere; without an elsewhere that is said."""
    books = Spread()
    books.hear(b"a", 0)
    books.send(STREAM, 1, 0)
    books.leave(b"a")
    with pytest.raises(Leaving):
        books.send(STREAM, 2, 0)
    assert books.settle(STREAM, 1)
    with pytest.raises(Unavailable):
        books.send(STREAM, 3, 0)
    books.hear(b"b", 0)
    assert books.send(STREAM, 3, 0) == b"b"


def test_limits_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams and frames have an end, and a silent stream makes room for others."""
    monkeypatch.setattr(module, "MAX_LANES", 2)
    books = Spread()
    books.hear(b"a", 0)
    for number in range(module.MAX_FLIGHTS):
        books.send(STREAM, number, 0)
    with pytest.raises(Overloaded, match="32 frames"):
        books.send(STREAM, 99, 0)
    books.send((b"x", ""), 1, module.LANE_SECONDS)
    with pytest.raises(Overloaded, match="2 streams"):
        books.send((b"y", ""), 1, module.LANE_SECONDS)
    books.expire(module.LANE_SECONDS + 1)
    assert books.send((b"y", ""), 1, module.LANE_SECONDS) == b"a"


EVENTS = st.one_of(
    st.tuples(st.sampled_from(["hear", "leave", "lose"]), st.sampled_from([b"a", b"b", b"c"])),
    st.tuples(st.sampled_from(["send", "settle"]), st.integers(0, 5)),
)


@given(st.lists(EVENTS, max_size=60))
def test_every_frame_is_settled_or_lost_exactly_once(events: list[tuple[str, bytes | int]]) -> None:
    """Whatever comes and goes, in whatever order."""
    books = Spread()
    owed: list[Flight] = []
    for number, (event, what) in enumerate(events):
        if isinstance(what, bytes):
            if event == "hear":
                books.hear(what, number)
            elif event == "leave":
                books.leave(what)
            else:
                lost = books.lose(what)
                owed = [flight for flight in owed if flight not in lost]
        elif event == "settle":
            done = [flight for flight in owed if flight.lane == (b"", str(what))][:1]
            assert [books.settle(flight.lane, flight.id) for flight in done] == [True] * len(done)
            owed = [flight for flight in owed if flight not in done]
        else:
            try:
                assert books.send((b"", str(what)), number, number) in books.replicas
                owed.append(Flight((b"", str(what)), number))
            except QuadfollowError:
                pass
        assert sorted(books.flights(), key=str) == sorted(owed, key=str)
