"""`fly` at a server that asks for keys."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.closed_loop.conftest import served

from quadfollow_core.client_key import VARIABLE
from quadfollow_core.errors import ServerGone
from quadfollow_server.access import Access
from quadfollow_server.keys import new_client
from quadfollow_server.running import RunningServer
from quadfollow_sim import bridge, flight
from quadfollow_sim.cli import fly


def test_fly_finds_its_key_in_the_environment(
    colour_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a key nobody answers; with QUADFOLLOW_KEY_FILE it flies, and the key stands in no report."""
    key = new_client(tmp_path / "keys", "drone")
    (tmp_path / "drone.json").write_text(key.to_json())
    settings = replace(served(colour_model), access=Access(keys=str(tmp_path / "keys")))
    patient = flight.require_server
    monkeypatch.setattr(flight, "require_server", bridge.require_server)
    with RunningServer(settings) as server:
        words = ["--server", server.address, "--seconds=1", "--no-video", "--json", "--out", str(tmp_path / "out")]
        with pytest.raises(ServerGone, match=VARIABLE):
            CliRunner().invoke(fly, words, catch_exceptions=False)
        monkeypatch.setattr(flight, "require_server", patient)
        monkeypatch.setenv(VARIABLE, str(tmp_path / "drone.json"))
        flown = CliRunner().invoke(fly, words, catch_exceptions=False)
    report = json.loads(flown.stdout)
    assert report["outcomes"]["result"] > 0
    assert not [secret for secret in (key.api_key, key.secret_key) if secret in flown.output]
