"""Hours of load in minutes: good and bad clients together, models that are reloaded, a server that is killed.

``python benchmarks/soak.py [--minutes 60] [--rate 0] [--json] [--out out/soak.json]``, or ``make soak MINUTES=60``. The
server is killed at random moments of the first third. The process that is then there lives to the end, so that growth
has time to show: memory, file handles and ages of answers are compared between the beginning and the end of its life,
after a minute (at most a tenth of the run) to warm up. Every frame sent is accounted for by its id.

The ages' drift stands beside that of a piece of arithmetic timed at the same moments: on a machine that others use,
both move.
The exit code is 1 where anything is not as it should be.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import click
import numpy as np
import onnx
import psutil
from crowd import (
    Scene,
    crawls,
    enter,
    floods,
    looks_on,
    never_reads,
    never_reads_http,
    posts,
    streams,
    subscribes_deaf,
    talks_nonsense,
    vanishes,
)
from measuring.frames import frame
from soak_report import Sample, report, table

from quadfollow_core.shipped import find_model
from quadfollow_sim.server_process import ServerProcess

EVERY = 5.0
"""Seconds between two looks at the server process."""
BAD = (floods, vanishes, never_reads, never_reads_http, crawls, talks_nonsense, looks_on, subscribes_deaf)


@dataclass(slots=True)
class Soak:
    """One run: what is done to the server, and what is seen of it."""

    server: ServerProcess
    model: Path
    scene: Scene
    chance: random.Random
    samples: list[Sample] = field(default_factory=list)
    kills: int = 0
    reloads: int = 0

    def run(self, seconds: float, kills: int) -> None:
        """Watch for so long, killing in the first third and reloading throughout."""
        begun = time.monotonic()
        killing = sorted(begun + self.chance.uniform(0.05, 0.33) * seconds for _ in range(kills))
        reloading = begun
        while (now := time.monotonic()) < begun + seconds:
            self.samples.append(self.look())
            if killing and now > killing[0]:
                killing.pop(0)
                self.kill()
            elif now > reloading:
                self.reload()
                reloading = now + self.chance.uniform(0.5, 1.5) * min(30.0, seconds / 10)
            self.scene.rest(EVERY)

    def look(self) -> Sample:
        """Measure the server process, its supervisor and this machine."""
        child, supervisor = self.process, psutil.Process(self.server.pid)
        return Sample(
            time.monotonic(),
            child.pid,
            child.memory_full_info().uss / 2**20,
            child.num_fds(),
            child.num_threads(),
            supervisor.memory_full_info().uss / 2**20,
            machine_ms(),
        )

    @property
    def process(self) -> psutil.Process:
        """The one process that the supervisor runs now."""
        end = time.monotonic() + 60
        while True:
            children = psutil.Process(self.server.pid).children()
            if children:
                return children[0]
            if time.monotonic() > end:
                raise RuntimeError("the supervisor runs no server")
            time.sleep(0.05)

    def kill(self) -> None:
        """Kill the server process in the midst of its work and wait for its successor."""
        self.kills += 1
        dead = self.process
        dead.send_signal(signal.SIGKILL)
        dead.wait(10)
        self.server.wait_ready()

    def reload(self) -> None:
        """Put another version of the model in place, each fourth time a broken one, and ask for it."""
        self.reloads += 1
        beside = self.model.with_suffix(".new")
        if self.reloads % 4 == 0:
            beside.write_bytes(self.model.read_bytes()[:5000])
        else:
            version = onnx.load(find_model())
            version.doc_string = f"version {self.reloads} of a soak"
            onnx.save(version, beside)
        broken = self.reloads % 4 == 0
        kept = self.model.read_bytes()
        beside.replace(self.model)
        os.kill(self.server.pid, signal.SIGHUP)
        if broken:  # a successor must find a whole one
            self.scene.rest(2.0)
            beside.write_bytes(kept)
            beside.replace(self.model)


def machine_ms() -> float:
    """Milliseconds that a fixed piece of arithmetic takes now; the fastest of five."""
    data = np.arange(300_000, dtype=np.float64)

    def once() -> float:
        began = time.perf_counter()
        np.sort(np.sin(data))
        return 1000 * (time.perf_counter() - began)

    return min(once() for _ in range(5))


@click.command()
@click.option("--minutes", default=60.0, show_default=True, help="How long.")
@click.option("--streams", "cameras", default=8, show_default=True, help="Good clients over ZeroMQ; half as many post.")
@click.option("--rate", default=0.0, show_default=True, help="Frames per second of each good client; 0: saturation.")
@click.option("--kills", default=5, show_default=True, help="How often the server process is killed.")
@click.option("--threads", default=1, show_default=True, help="Threads of one inference.")
@click.option("--hang-seconds", default=5.0, show_default=True, help="As of `quadfollow serve`.")
@click.option("--seed", default=1, show_default=True, help="When it is killed and reloaded.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the report there too, as JSON; beside it the server's log.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def main(
    minutes: float,
    cameras: int,
    rate: float,
    kills: int,
    threads: int,
    hang_seconds: float,
    seed: int,
    out: Path | None,
    as_json: bool,
) -> None:
    """Run it and report."""
    os.environ["QUADFOLLOW_SERVE_THREADS"] = str(threads)
    os.environ["QUADFOLLOW_SERVE_HANG_SECONDS"] = str(hang_seconds)
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.onnx"
        shutil.copy(find_model(), model)
        log = Path(folder) / "server.log" if out is None else out.with_suffix(".log")
        with ServerProcess(log, model=str(model)) as server:
            scene = Scene(server.url, server.address, server.pub_address, frame(), rate)
            soak = Soak(server, model, scene, random.Random(seed))
            clients = enter(scene, [(streams, cameras), (posts, cameras // 2), *((bad, 1) for bad in BAD)])
            soak.run(60 * minutes, kills)
            scene.over.set()
            for client in clients:
                client.join(30)
            told = report(soak.samples, soak.kills, scene, log.read_text())
    told |= {"minutes": minutes, "streams": cameras, "rate": rate, "reloads": soak.reloads}
    if out is not None:
        out.write_text(json.dumps(told, indent=1) + "\n")
    click.echo(json.dumps(told) if as_json else table(told))
    sys.exit(0 if all(row["holds"] for row in told["held"].values()) else 1)


if __name__ == "__main__":
    main()
