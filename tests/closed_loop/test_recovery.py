"""A server that is killed while it looks at a drone's picture: the drone brakes, and follows again when it is back.

The flight is in lockstep, so its seconds are simulated; the server, its supervisor and its death are real.
"""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from quadfollow_core.stream_client import StreamClient
from quadfollow_sim.city.airspace import CityAirspace
from quadfollow_sim.city.city import City
from quadfollow_sim.closed_loop import ClosedLoop
from quadfollow_sim.eyes import NetworkEyes
from quadfollow_sim.mission import city_is_missing
from quadfollow_sim.pilot import Pilot
from quadfollow_sim.server_process import ServerProcess
from quadfollow_sim.world import Observation

RATE = 20.0
KILLED, BACK = 2.0, 5.0
"""Seconds of the city's clock."""
WINDOW = 0.5 + 1 / RATE
"""Seconds after the last answered picture within which it must brake: as long as an answer is fresh, and a picture."""


class Killing(NetworkEyes):
    """Kills the server once a picture is on its way to it; the next one starts later, and the city waits for that.

    Its supervisor is suspended in between: how long a start takes is the machine's affair, and no part of the flight.
    """

    def __init__(self, client: StreamClient, server: ServerProcess) -> None:
        super().__init__(client)
        self._server = server
        self._supervisor = psutil.Process(server.pid)
        self._due = [(KILLED, self._kill), (BACK, self._let_back)]

    def offer(self, observation: Observation) -> int:
        """Hand a picture in, and do what is due."""
        number = super().offer(observation)
        if self._due and observation.captured >= self._due[0][0]:
            self._due.pop(0)[1]()
        return number

    def _kill(self) -> None:
        self._client._timeout = 1.0
        (child,) = self._supervisor.children()
        self._supervisor.suspend()
        child.kill()

    def _let_back(self) -> None:
        self._supervisor.resume()
        self._server.wait_ready()


@pytest.mark.slow
def test_a_drone_whose_server_was_killed_brakes_and_follows_again(tmp_path: Path) -> None:
    """It brakes within half a second of the last answer, and is after her within 3 s of the server's return."""
    if missing := city_is_missing():
        pytest.skip(str(missing))
    world = CityAirspace(City("street", 2))
    pilot = Pilot(1 / RATE, surroundings=world.surroundings)
    pilot.order("arm")
    with (
        ServerProcess(tmp_path / "server.log", device="cpu") as server,
        StreamClient(server.address) as client,
    ):
        begun = world.time
        sortie = ClosedLoop(world, Killing(client, server), pilot, rate=RATE).fly(8.5)
    world.close()
    steps = [(step.time - begun, step) for step in sortie.steps]
    assert {step.outcome for when, step in steps if when < KILLED} == {"result"}
    last = max(when for when, step in steps if step.outcome == "result" and when < BACK)
    silent = [step for when, step in steps if last + WINDOW < when < BACK - 1 / RATE]
    assert len(silent) > 10
    assert {step.braking for step in silent} == {"no fresh answer"}
    assert silent[-1].speed < 0.3
    again = min(when for when, step in steps if when > last and step.state == "following" and step.braking is None)
    assert again - BACK < 3.0
    end = steps[-1][1]
    assert end.visible > 20
    assert end.place == pytest.approx(end.target, abs=0.5)
    assert world.collisions == ()
