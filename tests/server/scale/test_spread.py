"""The books of a gateway: nothing is owed twice, forgotten, or given to a replica that is gone."""

from __future__ import annotations

from collections.abc import Iterator

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


def test_a_frame_lost_on_its_way_does_not_stay_owed_for_ever() -> None:
    """Not even where its stream goes on: so many would else fill the stream's places for good."""
    books = Spread()
    books.hear(b"a", 0)
    for second in range(3 * int(module.LANE_SECONDS)):
        books.send(STREAM, second, second)
        if second % 10:  # every tenth answer is lost
            assert books.settle(STREAM, second)
        assert books.expire(second) == ([Flight(STREAM, second - 61)] if second > 60 and second % 10 == 1 else [])
    assert len(list(books.flights())) == 6


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
    """Streams and frames have an end; where all streams are owed answers, another one is refused until one is not."""
    monkeypatch.setattr(module, "MAX_LANES", 2)
    books = Spread()
    books.hear(b"a", 0)
    for number in range(module.MAX_FLIGHTS):
        books.send(STREAM, number, 0)
    with pytest.raises(Overloaded, match="max_flights is limited to 32"):
        books.send(STREAM, 99, 0)
    books.send((b"x", ""), 1, 1)
    with pytest.raises(Overloaded, match="2 streams") as refused:
        books.send((b"y", ""), 1, 2)
    assert refused.value.limit == "max_streams"
    books.settle((b"x", ""), 1)
    assert books.send((b"y", ""), 1, 3) == b"a"
    assert {flight.lane for flight in books.flights()} == {STREAM, (b"y", "")}


def test_when_all_places_are_taken_the_longest_silent_stream_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the first to come, and none that is owed an answer: what goes on stays where it is."""
    monkeypatch.setattr(module, "MAX_LANES", 3)
    books = Spread()
    for replica in (b"a", b"b"):
        books.hear(replica, 0)
    answered, owed, silent, new = ((name, "") for name in (b"1", b"2", b"3", b"4"))
    homes = {lane: books.send(lane, 1, 0) for lane in (answered, owed, silent)}
    for lane in (answered, silent):
        books.settle(lane, 1)
    books.send(answered, 2, 1)
    books.settle(answered, 2)
    assert books.send(new, 1, 2) == homes[silent]
    assert books.send(answered, 3, 3) == homes[answered]
    assert {flight.lane for flight in books.flights()} == {owed, new, answered}
    assert sum(map(books.lanes_of, books.replicas)) == 3


def test_a_client_with_a_new_stream_per_frame_takes_no_other_ones_place() -> None:
    """Beyond its share its own streams make room, the longest silent first, however many it names."""
    books = Spread()
    books.hear(b"a", 0)
    honest = (b"honest", "front")
    books.send(honest, 1, 0)
    books.settle(honest, 1)
    for number in range(2 * module.MAX_LANES):
        books.send((b"greedy", str(number)), number, 1)
        books.settle((b"greedy", str(number)), number)
    assert books.lanes_of(b"a") == module.MAX_LANES_PER_CLIENT + 1
    books.hear(b"b", 1)
    books.leave(b"a")
    books.send((b"greedy", "last"), 0, 2)
    assert books.lanes_of(b"b") == 1
    for number in range(module.MAX_LANES_PER_CLIENT - 1):
        books.send((b"greedy", f"owed {number}"), number, 2)
    with pytest.raises(Overloaded) as refused:
        books.send((b"greedy", "one more"), 0, 2)
    assert refused.value.limit == "max_streams_per_client"
    assert books.send((b"other", ""), 1, 2) == b"b"


EVENTS = st.one_of(
    st.tuples(st.sampled_from(["hear", "leave", "lose"]), st.sampled_from([b"a", b"b", b"c"])),
    st.tuples(st.sampled_from(["send", "settle"]), st.integers(0, 5)),
)


@pytest.fixture(scope="module", params=[(4096, 512), (3, 512), (4096, 2)], ids=["room", "few", "few per client"])
def crowded(request: pytest.FixtureRequest) -> Iterator[int]:
    """Room for so many streams of one client."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in zip(("MAX_LANES", "MAX_LANES_PER_CLIENT"), request.param, strict=True):
            patch.setattr(module, name, value)
        yield min(request.param)


@given(events=st.lists(EVENTS, max_size=60))
def test_every_frame_is_settled_or_lost_exactly_once(crowded: int, events: list[tuple[str, bytes | int]]) -> None:
    """Whatever comes and goes, in whatever order, however few streams there is room for."""
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
        assert sum(map(books.lanes_of, books.replicas)) <= crowded
