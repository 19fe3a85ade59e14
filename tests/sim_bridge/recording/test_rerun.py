"""``quadfollow rerun``: a recording in Rerun, whole or torn, and what is said where Rerun is not installed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.sim_bridge.recording.conftest import moment

from quadfollow_core.errors import BadDataset, BadInput, Unavailable
from quadfollow_sim.recording import viewer
from quadfollow_sim.recording.tape import Tape

Start = Callable[..., "subprocess.Popen[str]"]
ENTITIES = ("/front/image", "/front/annotations", "/front/result", "/front/drone", "/front/target", "/tf", "/log")


def write(path: Path) -> Path:
    """Write a recording of three pictures."""
    with Tape(path) as tape:
        for number in range(3):
            tape.write(moment(number))
    return path


def test_rerun_reads_every_topic(tmp_path: Path, start_program: Start) -> None:
    """Rerun's own program lists them all, the pictures among them as pictures."""
    pytest.importorskip("rerun", reason="Rerun is not installed: pip install 'quadfollow[rerun]'")
    saved = tmp_path / "a.rrd"
    process = start_program("rerun", write(tmp_path / "a.mcap"), "--save", saved)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert str(saved) in out
    command = [sys.executable, "-m", "rerun", "rrd", "print", "-v", str(saved)]
    printed = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=True, env=os.environ | {"HOME": str(tmp_path)}
    ).stdout
    assert [name for name in ENTITIES if name not in printed] == []
    assert "EncodedImage" in printed
    assert "TextLog" in printed


def test_a_torn_recording_is_converted_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is mended on the way; the file itself stays as it is."""
    pytest.importorskip("rerun", reason="Rerun is not installed: pip install 'quadfollow[rerun]'")
    monkeypatch.setattr("quadfollow_sim.recording.tape.FLUSH", 0.0)
    torn = tmp_path / "torn.mcap"
    torn.write_bytes(write(tmp_path / "a.mcap").read_bytes()[:-100])
    before = torn.read_bytes()
    viewer.convert(torn, tmp_path / "torn.rrd")
    assert (tmp_path / "torn.rrd").stat().st_size > 1000
    assert torn.read_bytes() == before


def test_without_rerun_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written then, nor where something else is wrong."""
    path = write(tmp_path / "a.mcap")
    monkeypatch.setitem(sys.modules, "rerun", None)
    with pytest.raises(Unavailable, match=r"quadfollow\[rerun\]"):
        viewer.convert(path, tmp_path / "a.rrd")
    monkeypatch.undo()
    with pytest.raises(BadInput, match="rrd"):
        viewer.convert(path, tmp_path / "a.txt")
    with pytest.raises((BadDataset, Unavailable)):
        viewer.convert(tmp_path / "none.mcap", tmp_path / "a.rrd")
    assert [one.name for one in tmp_path.iterdir()] == ["a.mcap"]
