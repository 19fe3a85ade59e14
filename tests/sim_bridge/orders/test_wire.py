"""What is a question and where it may be asked."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quadfollow_core.errors import BadInput, BadMessage, LimitExceeded, QuadfollowError
from quadfollow_sim.orders.wire import (
    Question,
    decode_question,
    decode_reply,
    encode,
    encode_question,
    require_private,
)
from quadfollow_sim.safety import Order

names = st.none() | st.integers(-(2**63), 2**63 - 1) | st.text(st.characters(exclude_characters="\0"), max_size=128)


@given(st.sampled_from([None, *get_args(Order)]), names)
def test_a_question_survives_the_wire(order: Order | None, name: str | int | None) -> None:
    """Whatever is asked under whatever name."""
    assert decode_question(encode_question(Question(order, name))) == Question(order, name)


@pytest.mark.parametrize(
    ("parts", "fault"),
    [
        ([], "part 0"),
        ([b"qf2", b"{}"], "part 0"),
        ([b"qf1"], "missing"),
        ([b"qf1", b"arm"], "not JSON"),
        ([b"qf1", b"[]"], "JSON object"),
        ([b"qf1", b"{}"], "use order or status"),
        ([b"qf1", b'{"type": "status"}', b""], "2 parts"),
        ([b"qf1", b'{"type": "order"}'], "use arm"),
        ([b"qf1", b'{"type": "order", "order": ["arm"]}'], "use arm"),
        ([b"qf1", b'{"type": "order", "order": "ARM"}'], "use arm"),
        ([b"qf1", b'{"type": "status", "id": 1.5}'], "id must be"),
        ([b"qf1", b'{"type": "status", "id": true}'], "id must be"),
        ([b"qf1", json.dumps({"type": "status", "id": 2**70}).encode()], "id must be"),
        ([b"qf1", json.dumps({"type": "status", "id": "x" * 129}).encode()], "limited to 128"),
    ],
)
def test_what_is_no_question_is_named(parts: list[bytes], fault: str) -> None:
    """Nothing is guessed at."""
    with pytest.raises((BadMessage, LimitExceeded), match=fault):
        decode_question(parts)


@given(st.lists(st.binary(max_size=40), max_size=3))
def test_noise_is_refused(parts: list[bytes]) -> None:
    """No bytes raise anything but our own error."""
    with pytest.raises(QuadfollowError):
        decode_question([b"qf1", *parts])


def test_replies() -> None:
    """Read back as they were; other messages of the wire are none."""
    body: dict[str, Any] = {"type": "pilot", "mode": "armed"}
    assert decode_reply(encode(body)) == body
    with pytest.raises(BadMessage):
        decode_reply(encode({"type": "pong"}))


@pytest.mark.parametrize(
    "address", ["tcp://127.0.0.1:5557", "tcp://127.0.0.1:*", "tcp://localhost:1", "tcp://[::1]:5", "ipc:///tmp/orders"]
)
def test_this_machine_alone(address: str) -> None:
    """Loopback and files."""
    assert require_private(address) == address


@pytest.mark.parametrize(
    "address", ["tcp://0.0.0.0:5557", "tcp://*:5557", "tcp://10.0.0.5:5557", "tcp://drone:5557", "5557", "", "ipc://"]
)
def test_nobody_else(address: str) -> None:
    """Whoever reaches the door can fly."""
    with pytest.raises(BadInput, match="SSH"):
        require_private(address)
