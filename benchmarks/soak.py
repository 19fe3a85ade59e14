"""Hours of load in minutes: good and bad clients together, models that are reloaded, a server that is killed.

``python benchmarks/soak.py [--minutes 60] [--rate 0] [--json] [--out out/soak.json]``, or ``make soak MINUTES=60``. The
server is killed at random moments of the first third. The process that is then there lives to the end, so that growth
has time to show: memory, file handles and ages of answers are compared between the beginning and the end of its life,
after a minute (at most a tenth of the run) to warm up. Every frame sent is accounted for by its id.

The model lies there as it is shipped, with its 8-bit variant, and each reload brings new versions of both. Beside the
server, a session that was opened at the start and never again answers a frame at every look: on a machine that others
use, its time drifts too, and the answers' ages are judged against it.
The exit code is 1 where anything is not as it should be.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import click
import numpy as np
import onnx
import onnxruntime
import psutil  # type: ignore[import-untyped]
from measuring import results
from measuring.crowd import (
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
from measuring.soak_report import Sample, report, table

from quadfollow_core.contract import INPUT, METADATA_KEY, Contract
from quadfollow_core.shipped import find_model, lower_precision
from quadfollow_sim.server_process import ServerProcess

EVERY = 5.0
"""Seconds between two looks at the server process."""
BAD = (floods, vanishes, never_reads, never_reads_http, crawls, talks_nonsense, looks_on, subscribes_deaf)


@dataclass(slots=True)
class Soak:
    """One run: what is done to the server, and what is seen of it."""

    server: ServerProcess
    model: ModelFiles
    scene: Scene
    chance: random.Random
    beside: Reference
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
            self.beside.milliseconds(),
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
        is_broken = self.reloads % 4 == 0
        if is_broken:
            self.model.damage()
        else:
            self.model.renew(self.reloads)
        os.kill(self.server.pid, signal.SIGHUP)
        if is_broken:  # a successor must find a whole one
            self.scene.rest(2.0)
            self.model.renew(self.reloads)


class ModelFiles:
    """The shipped model and its 8-bit variant, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "model.onnx"
        self.renew(0)

    def renew(self, number: int) -> None:
        """Put a version of another number, and thus another hash, in place: the variant first, then the model."""
        model = onnx.load(find_model())
        model.doc_string = f"version {number} of a soak"
        whole = model.SerializeToString()
        lower = onnx.load(lower_precision(find_model(), "int8"))
        contract = Contract.from_onnx(lower)
        contract.checks["variant"]["of"] = hashlib.sha256(whole).hexdigest()[:12]
        onnx.helper.set_model_props(lower, {METADATA_KEY: contract.to_json()})
        self._place(lower_precision(self.path, "int8"), lower.SerializeToString())
        self._place(self.path, whole)

    def damage(self) -> None:
        """Cut the model's file short."""
        self._place(self.path, self.path.read_bytes()[:5000])

    def _place(self, path: Path, data: bytes) -> None:
        beside = path.with_suffix(".new")
        beside.write_bytes(data)
        beside.replace(path)


class Reference:
    """A session of the shipped model on one thread, outside the server."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(find_model(), options, providers=["CPUExecutionProvider"])
        _, height, width, _ = self._session.get_inputs()[0].shape
        self._frame = np.zeros((1, height, width, 3), dtype=np.uint8)

    def milliseconds(self) -> float:
        """How long it takes for a frame now; the median of five."""

        def once() -> float:
            began = time.perf_counter()
            self._session.run(None, {INPUT: self._frame})
            return 1000 * (time.perf_counter() - began)

        return median(once() for _ in range(5))


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
    results.end_in_order()
    os.environ["QUADFOLLOW_SERVE_THREADS"] = str(threads)
    os.environ["QUADFOLLOW_SERVE_HANG_SECONDS"] = str(hang_seconds)
    with tempfile.TemporaryDirectory() as folder:
        model = ModelFiles(Path(folder))
        log = Path(folder) / "server.log" if out is None else out.with_suffix(".log")
        with ServerProcess(log, model=str(model.path)) as server:
            scene = Scene(server.url, server.address, server.pub_address, frame(), rate)
            soak = Soak(server, model, scene, random.Random(seed), Reference())
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
