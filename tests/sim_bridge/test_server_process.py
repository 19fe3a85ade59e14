"""The server that `demo` starts is its own, whatever else the shell is set up for."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import zmq
from tests.sim_bridge.unhurried import ClientInStep

from quadfollow_core.cli import main
from quadfollow_core.client_key import VARIABLE, ClientKey
from quadfollow_core.errors import Unavailable
from quadfollow_core.shipped import find_model
from quadfollow_sim import server_process
from quadfollow_sim.server_process import ServerProcess

TELL = "import os; print([name for name in os.environ if name.startswith('QUADFOLLOW_SERVE_')])"


@pytest.mark.parametrize("heeded", [True, False])
def test_the_environments_settings_are_heeded_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, heeded: bool
) -> None:
    """A process that tells what it was given, and ends."""
    monkeypatch.setenv("QUADFOLLOW_SERVE_MODEL", "other.onnx")
    monkeypatch.setattr(ServerProcess, "_command", lambda self: [sys.executable, "-c", TELL])
    with pytest.raises(Unavailable) as ended, ServerProcess(tmp_path / "log", from_environment=heeded):
        pass
    assert ("QUADFOLLOW_SERVE_MODEL" in str(ended.value)) == heeded


def test_the_demo_needs_no_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start_peer: Any, in_step: type[ClientInStep]
) -> None:
    """With the key of another server at hand it is answered by its own, of which it says what to serve."""
    peer, told = start_peer(), {}

    class Own:
        """A server that is there."""

        address, url = peer.address, "http://127.0.0.1:1"

        def __init__(self, log: Path, **how: Any) -> None:
            told.update(how)

        def __enter__(self) -> Own:
            return self

        def __exit__(self, *error: object) -> None:
            """Stay."""

        def died(self) -> None:
            """Never."""

    in_step.patience = 5.0
    server, (public, secret) = zmq.curve_keypair()[0], zmq.curve_keypair()
    (tmp_path / "key.json").write_text(
        ClientKey("me", "abc", server.decode(), public.decode(), secret.decode()).to_json()
    )
    monkeypatch.setenv(VARIABLE, str(tmp_path / "key.json"))
    monkeypatch.setattr(server_process, "ServerProcess", Own)
    words = ["demo", "--world", "drawn", "--seconds", "0.2", "--no-video", "--out", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", ["quadfollow", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    assert {request.model for request in peer.requests} == {find_model().stem}
    assert (told["model"], told["from_environment"]) == (str(find_model()), False)
