"""An operator at the command line and a flight through the city in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from quadfollow_core.cli import quadfollow
from quadfollow_core.errors import ServerGone
from quadfollow_sim.craft import STANDING
from quadfollow_sim.orders.cli import pilot

PROGRAM = "from quadfollow_core.cli import main; main()"
PATIENCE = 120.0
pytestmark = pytest.mark.usefixtures("drawable")


def ordered(order: str, address: str) -> Result:
    """What `quadfollow pilot` says."""
    return CliRunner().invoke(
        pilot, [order, "--orders", address, "--patience", str(PATIENCE), "--json"], standalone_mode=False
    )


def wait_for(address: str, what: Callable[[dict[str, Any]], bool]) -> None:
    """Ask how it stands until it stands so."""
    end = time.monotonic() + PATIENCE
    while not what(status := json.loads(ordered("status", address).stdout)):
        assert time.monotonic() < end, status


def flies(status: dict[str, Any]) -> bool:
    """Whether it flies after somebody."""
    return status["braking"] is None and bool(status["speed"] > 0.5)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("clock", ["lockstep", pytest.param("real", marks=pytest.mark.slow)])
def test_arm_hold_resume_abort(tmp_path: Path, clock: str) -> None:
    """It waits for its order, follows her, stands while held, goes on; an abort ends it with a report that says so.

    By the real clock a busy machine may be too slow to follow her: then it hovers, and obeys all the same.
    """
    address = f"ipc://{tmp_path}/orders"
    options = ("--eyes", "truth", "--flights", "2", "--seconds", "3600", "--no-video", "--clock", clock, "--json")
    command = [sys.executable, "-c", PROGRAM, "fly", "--world", "city", "--orders", address, "--hold-until-armed"]
    with subprocess.Popen([*command, *options, "--out", str(tmp_path)], stdout=subprocess.PIPE) as process:
        try:
            begun = json.loads(ordered("status", address).stdout)
            assert begun["mode"] == "disarmed"
            assert ordered("arm", address).return_value == 0
            wait_for(address, lambda status: clock == "real" or flies(status))
            assert json.loads(ordered("hold", address).stdout)["braking"] == "holding"
            wait_for(address, lambda status: status["speed"] < STANDING)
            refused = ordered("arm", address)
            assert (refused.return_value, json.loads(refused.stdout)["mode"]) == (1, "holding")
            assert ordered("resume", address).return_value == 0
            wait_for(address, lambda status: clock == "real" or flies(status))
            assert ordered("abort", address).return_value == 0
            printed, _ = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    assert process.returncode == 130
    report = json.loads(printed)
    assert report == json.loads((tmp_path / "report.json").read_text())
    assert report["aborted"]
    (flight,) = report["flights"]
    assert flight["aborted"]
    assert [order["mode"] for order in flight["orders"]] == ["armed", "holding", "armed", "aborted"]
    assert flight["collisions"] == 0
    assert flight["braking"]["aborted"] >= 1


def test_nobody_flies(tmp_path: Path) -> None:
    """Said with its remedy."""
    done = CliRunner().invoke(pilot, ["abort", "--orders", f"ipc://{tmp_path}/orders", "--patience", "0.2"])
    assert isinstance(done.exception, ServerGone)
    assert "quadfollow fly" in str(done.exception)


def test_a_flight_takes_orders_only_where_it_can(tmp_path: Path) -> None:
    """Not where others reach it; and other worlds, which nothing flies in, take none."""
    for options in (("--world", "city", "--orders", "tcp://0.0.0.0:5557"), ("--world", "drawn", "--hold-until-armed")):
        done = CliRunner().invoke(quadfollow, ["fly", *options, "--out", str(tmp_path / "out")])
        assert done.exit_code != 0
        assert "tcp://127.0.0.1:PORT" in str(done.exception) or "hold-until-armed" in str(done.exception)
    assert not (tmp_path / "out").exists()
