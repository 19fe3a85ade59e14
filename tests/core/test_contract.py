"""A model's contract is read back as written, and a contract that cannot be kept is refused."""

from __future__ import annotations

import json

import pytest

from quadfollow_core.contract import METADATA_KEY, Contract
from quadfollow_core.errors import BadModel
from quadfollow_core.locate import Rule

CONTRACT = Contract("tiny", 256, 160, Rule(140, 6), score={"final": 0.5}, commit="abc")


def test_it_survives_the_model_file() -> None:
    """What export writes is what the server reads."""
    assert Contract.from_metadata({METADATA_KEY: CONTRACT.to_json()}) == CONTRACT
    assert CONTRACT.size == (256, 160)


def test_unknown_keys_are_ignored() -> None:
    """A contract with more to say than we know is still read."""
    data = json.loads(CONTRACT.to_json()) | {"colour_of_the_box": "red"}
    assert Contract.from_json(json.dumps(data)) == CONTRACT


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"version": 2}, "version 2"),
        ({"classes": ["background", "target", "person"]}, "classes"),
        ({"colour_order": "bgr"}, "colour order"),
        ({"width": 0}, "size"),
        ({"height": "256"}, "size"),
        ({"name": ""}, "names no model"),
        ({"rule": {"threshold": 0, "min_area": 4}}, "threshold"),
        ({"rule": 7}, "cannot be read"),
        ({"rule": {"threshold": 128.5, "min_area": 4}}, "integers"),
        ({"width": True}, "size"),
        ({"least_lead": -1}, "least_lead"),
        ({"least_lead": "5"}, "least_lead"),
        ({"least_lead": True}, "least_lead"),
        ({"least_lead": float("nan")}, "least_lead"),
        ({"classes": None}, "cannot be read"),
        ({"checks": None}, "objects"),
        ({"training": []}, "objects"),
        ({"score": 0.7}, "objects"),
    ],
)
def test_promises_we_cannot_keep_are_refused(change: dict[str, object], says: str) -> None:
    """Each wrong field is named."""
    with pytest.raises(BadModel, match=says):
        Contract.from_json(json.dumps(json.loads(CONTRACT.to_json()) | change))


@pytest.mark.parametrize("key", ["version", "colour_order", "rule", "classes", "name"])
def test_a_promise_left_out_is_named(key: str) -> None:
    """A contract that says nothing of a promise is refused, not filled in."""
    data = json.loads(CONTRACT.to_json())
    del data[key]
    with pytest.raises(BadModel, match=key):
        Contract.from_json(json.dumps(data))


def test_unknown_keys_of_the_rule_are_ignored() -> None:
    """A later version's rule with more to say is still read."""
    data = json.loads(CONTRACT.to_json())
    data["rule"]["mood"] = "good"
    assert Contract.from_json(json.dumps(data)) == CONTRACT


@pytest.mark.parametrize("text", ["", "[]", "{", "7", "{}", '{"a":' * 100_000])
def test_unreadable_contracts_are_refused(text: str) -> None:
    """What is no contract raises BadModel, not something else."""
    with pytest.raises(BadModel):
        Contract.from_json(text)


def test_a_model_without_contract_is_told_how_to_get_one() -> None:
    """The message names the command that writes a contract."""
    with pytest.raises(BadModel, match="quadfollow export"):
        Contract.from_metadata({})
