"""Fly by a controller of your own, here one that circles the target: ``custom_controller.py [SECONDS]``.

A controller is a function of the track and the vehicle's own state. What it wishes for goes through the same obstacles,
safety rule and limits as the one that comes with quadfollow. No server is asked: the world's own class mask sees.
"""

import math
import sys
from contextlib import closing
from itertools import pairwise

from quadfollow_core.track import Track
from quadfollow_sim.city.airspace import FENCE, CityAirspace
from quadfollow_sim.city.city import City
from quadfollow_sim.closed_loop import ClosedLoop
from quadfollow_sim.eyes import LocalEyes
from quadfollow_sim.follow import Formation, follow
from quadfollow_sim.measures import measure_sortie
from quadfollow_sim.pilot import Pilot, Plan
from quadfollow_sim.safety import SafetyRule
from quadfollow_sim.vehicle import OwnState, Velocity

RATE = 10.0
AROUND = 1.5  # metres per second


def circle(track: Track, own: OwnState) -> Velocity | None:
    """Keep the distance as usual, and fly sideways around her."""
    wish = follow(track, own, Formation(distance=4.0))
    if wish is None or track.world is None:
        return wish
    east, north = track.world[0] - own.position[0], track.world[1] - own.position[1]
    away = math.hypot(east, north) or 1.0
    x, y, z = wish.linear
    return Velocity((x - AROUND * north / away, y + AROUND * east / away, z), wish.yaw_rate, wish.tilt)


seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 30.0
with closing(CityAirspace(City("plaza", seed=3))) as world:
    plan = Plan(safety=SafetyRule(fence=FENCE))
    pilot = Pilot(1 / RATE, plan, world.surroundings, controller=circle)
    pilot.order("arm")
    sortie = ClosedLoop(world, LocalEyes("truth"), pilot, rate=RATE).fly(seconds)
sides = [math.atan2(at.position[1] - at.target[1], at.position[0] - at.target[0]) for at in sortie.steps if at.target]
turned = sum(math.remainder(after - before, math.tau) for before, after in pairwise(sides))
print(f"in view {measure_sortie(sortie)['in_view']:.0%}, {math.degrees(turned):.0f} degrees around her")
