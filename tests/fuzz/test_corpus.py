"""Every kept input, and changed copies of it, at what reads bytes from strangers.

``corpus/TARGET/good-*`` is taken as it is; everything else there once was, or might have been, a finding. Changed
copies are the same each time; ``make fuzz EXAMPLES=10000`` makes new ones and, guided by what code they reach, more.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from tests.fuzz.targets import CORPUS, TARGETS, survives

EXAMPLES = int(os.environ.get("QUADFOLLOW_FUZZ_EXAMPLES", "0"))
KEPT = sorted(path for path in CORPUS.glob("*/*"))

PLACE = st.integers(0, 2**31)
CHANGES = st.lists(
    st.tuples(st.sampled_from(["set", "cut", "insert", "double"]), PLACE, PLACE, st.binary(max_size=8)),
    min_size=1,
    max_size=6,
)


def changed(data: bytes, changes: list[tuple[str, int, int, bytes]]) -> bytes:
    """Set, cut out, insert or repeat some bytes."""
    for how, place, other, more in changes:
        begin, end = sorted((place % (len(data) + 1), other % (len(data) + 1)))
        match how:
            case "set":
                data = data[:begin] + more + data[begin + len(more) :]
            case "cut":
                data = data[:begin] + data[end:]
            case "insert":
                data = data[:begin] + more + data[begin:]
            case _:
                data = data[:end] + data[begin:]
    return data[:200_000]


@pytest.mark.parametrize("path", KEPT, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_every_kept_input_is_read_or_refused(path: Path) -> None:
    """What is good is taken, anything else ends in an error of ours at worst."""
    taken = survives(TARGETS[path.parent.name], path.read_bytes())
    assert taken or not path.name.startswith("good-")


@pytest.mark.parametrize("name", TARGETS)
def test_changed_copies_are_read_or_refused(name: str) -> None:
    """Damage of any kind ends in an error of ours at worst."""
    kept = [path.read_bytes() for path in KEPT if path.parent.name == name]
    assert any(path.name.startswith("good-") for path in KEPT if path.parent.name == name)

    @hypothesis_settings(
        max_examples=EXAMPLES or 60, derandomize=not EXAMPLES, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(st.sampled_from(range(len(kept))), CHANGES)
    def read(which: int, changes: list[tuple[str, int, int, bytes]]) -> None:
        survives(TARGETS[name], changed(kept[which], changes))

    read()
