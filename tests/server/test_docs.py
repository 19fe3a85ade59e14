"""The HTTP page says what the code does."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from quadfollow_core.errors import (
    BadGeometry,
    BadImage,
    BadMessage,
    LimitExceeded,
    NotFound,
    Overloaded,
    QuadfollowError,
    Unavailable,
    UnsupportedEncoding,
)
from quadfollow_server.jobs import Dropped
from quadfollow_server.problems import dropped_problem, problem
from quadfollow_server.schema import SEGMENT_REQUEST, SegmentAnswer
from quadfollow_server.settings import Settings

PAGE = (Path(__file__).parents[2] / "docs" / "http.md").read_text()
ROWS = re.findall(r"^\| (\d{3}) \| `([a-z-]+)` \|", PAGE, re.MULTILINE)

ERRORS: list[QuadfollowError] = [
    *(kind("x") for kind in (BadImage, BadGeometry, BadMessage, UnsupportedEncoding, NotFound)),
    *(kind("x") for kind in (Unavailable, QuadfollowError)),
    Overloaded("x", limit="max_waiting", allowed=1),
    LimitExceeded("upload_seconds", got=1, allowed=1),
    LimitExceeded("max_pixels", got=1, allowed=1),
]


@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_each_error_has_its_row(error: QuadfollowError) -> None:
    """Status and code of every error stand in the table."""
    assert (str(problem(error).status_code), error.code) in ROWS


def test_a_drop_has_its_row() -> None:
    """A dropped frame's status and code stand in the table."""
    assert (str(dropped_problem(Dropped("deadline", 1.0)).status_code), "dropped") in ROWS


def test_limits_and_query_parameters_are_listed() -> None:
    """Every limit of `/info` and every query parameter of `/segment` is on the page."""
    names = [*Settings().limits, *(parameter["name"] for parameter in SEGMENT_REQUEST["parameters"])]
    assert [name for name in names if f"`{name}`" not in PAGE] == []


def test_the_wires_examples_are_answers() -> None:
    """The result and the track on the wire's page have the keys and types of real ones."""
    page = (Path(__file__).parents[2] / "docs" / "wire.md").read_text()
    result, track = (json.loads(code) for code in re.findall(r"^```json\n(.*?)^```", page, re.MULTILINE | re.DOTALL))
    SegmentAnswer.model_validate(result | {"id": str(result["id"])} | track)
