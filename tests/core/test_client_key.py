"""A client's key is refused where it is read, not by the first server it is shown to."""

from __future__ import annotations

from pathlib import Path

import pytest
import zmq

from quadfollow_core.client_key import ClientKey
from quadfollow_core.errors import BadInput

PUBLIC, SECRET = (key.decode() for key in zmq.curve_keypair())


def test_a_key_survives_its_file(tmp_path: Path) -> None:
    """What is written is read."""
    key, file = ClientKey("drone", "qf_abc-123", PUBLIC, PUBLIC, SECRET), tmp_path / "key"
    file.write_text(key.to_json())
    assert ClientKey.load(file) == key


@pytest.mark.parametrize("api_key", ["", " ", "abc ", "a b", "schlüssel", "a\n"])
def test_a_key_that_no_header_carries_is_refused(api_key: str) -> None:
    """Such a header is never sent, and the server would look gone."""
    with pytest.raises(BadInput, match="api_key"):
        ClientKey("drone", api_key, PUBLIC, PUBLIC, SECRET)


@pytest.mark.parametrize("text", ["", "[]", "{}", "[" * 100_000], ids=["empty", "list", "nothing", "deep"])
def test_a_file_that_is_no_key_is_refused(tmp_path: Path, text: str) -> None:
    """The message names the command that writes one."""
    file = tmp_path / "key"
    file.write_text(text)
    with pytest.raises(BadInput, match="quadfollow keys new"):
        ClientKey.load(file)
