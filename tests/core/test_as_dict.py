"""What answers carry is written field by field, by hand: it must be all of the fields, in their order."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from quadfollow_core.track import DIMENSIONS, Space, Track
from quadfollow_core.types import Blob, Sighting, Target

NUMBERS = st.floats(-1e6, 1e6) | st.integers(-1000, 1000)
POSITIVE = st.floats(1e-3, 1e6) | st.integers(1, 1000)
SURE = st.floats(0, 1)
PAIR = st.tuples(NUMBERS, NUMBERS)
SOURCE = st.sampled_from(["depth", "height", None])
OPTIONAL = st.none() | st.floats()


@st.composite
def boxes(draw: st.DrawFn) -> tuple[float, float, float, float]:
    """Left, top, right, bottom."""
    left, top = draw(PAIR)
    return left, top, left + draw(POSITIVE), top + draw(POSITIVE)


BLOBS = st.builds(Blob, PAIR, boxes(), POSITIVE)
TARGETS = st.builds(
    Target, PAIR, boxes(), POSITIVE, SURE, OPTIONAL, OPTIONAL, OPTIONAL, SOURCE, st.none() | st.tuples(*3 * [NUMBERS])
)


@st.composite
def tracks(draw: st.DrawFn) -> Track:
    """Any track at all."""
    space: Space | None = draw(st.sampled_from([None, *DIMENSIONS]))
    vectors = [draw(st.tuples(*(0 if space is None else DIMENSIONS[space]) * [NUMBERS])) for _ in range(4)]
    state = draw(st.sampled_from(["searching", "following", "coasting", "lost"]))
    age, distance, confidence = (draw(st.none() | NUMBERS) for _ in range(3))
    return Track(
        state, draw(NUMBERS), space, *vectors, age, draw(st.integers(0, 9)), distance, draw(SOURCE), confidence
    )


def plain(value: Any) -> Any:
    """The rule: dictionaries of all fields, lists of vectors, floats to five digits."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    return round(value, 5) if isinstance(value, float) else value


@given(st.none() | TARGETS, st.lists(BLOBS, max_size=3))
def test_a_sighting_is_written_as_it_is(target: Target | None, people: list[Blob]) -> None:
    """Byte for byte, whatever was seen, integers and numbers that are none among it."""
    expected = {"target": target and plain(asdict(target)), "people": [plain(asdict(blob)) for blob in people]}
    assert json.dumps(Sighting(target, tuple(people)).as_dict()) == json.dumps(expected)


@given(tracks())
def test_a_track_is_written_as_it_is(track: Track) -> None:
    """Byte for byte, whatever is known of it."""
    assert json.dumps(track.as_dict()) == json.dumps(plain(asdict(track)))
