"""JSON on the wire: whatever Python's own module writes is read alike, and what is written is read by it."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quadfollow_core.errors import BadMessage
from quadfollow_core.json_text import dump, dump_finite, load
from quadfollow_core.wire import Ping

numbers = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(codec="utf-8"))
plain = st.none() | st.booleans() | numbers | texts
values = st.recursive(plain, lambda inner: st.lists(inner) | st.dictionaries(texts, inner), max_leaves=20)
objects = st.dictionaries(texts, values)


@given(objects)
def test_what_is_written_is_read_by_anybody(value: dict[str, Any]) -> None:
    """Both ways of writing say the same, in UTF-8 and without spaces."""
    assert json.loads(dump(value)) == json.loads(dump_finite(value)) == load(dump(value)) == value
    assert len(dump(value)) <= len(json.dumps(value, separators=(",", ":")))


@given(objects | values)
def test_what_others_write_is_read(value: Any) -> None:
    """Escaped, spaced, as text or bytes."""
    text = json.dumps(value, indent=1)
    assert load(text) == load(text.encode()) == load(memoryview(text.encode())) == value


@pytest.mark.parametrize("text", ["", "{", "[1,]", "{'a': 1}", "nan", "1 2", "[" * 100_000, '"\x01"', b"\xff\xfe"])
def test_what_is_no_json_is_refused(text: str | bytes) -> None:
    """Nothing else is raised than what is promised."""
    with pytest.raises((ValueError, RecursionError)):
        load(text)


def test_nan_is_read_so_that_it_can_be_named() -> None:
    """Python's own writer lets it through, so it comes."""
    assert math.isnan(load(json.dumps({"captured_at": math.nan}))["captured_at"])


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, -math.inf, {1, 2}, b"bytes", np.float32(1), datetime.now(UTC), Ping()]
)
@pytest.mark.parametrize("beside", [1, None])
def test_what_json_cannot_say_is_refused(value: object, beside: object) -> None:
    """Also deep inside, and beside an honest null, as which NaN would go out."""
    with pytest.raises(BadMessage, match="what JSON knows"):
        dump({"a": [{"b": value}], "c": beside})


def test_what_python_takes_for_its_own_is_written() -> None:
    """NumPy's 64-bit float is a float, and an integer has no end."""
    header = {"fx": np.float64(0.5), "big": 2**70, "none": None, 7: "seven"}
    assert json.loads(dump(header)) == {"fx": 0.5, "big": 2**70, "none": None, "7": "seven"}  # type: ignore[arg-type]
