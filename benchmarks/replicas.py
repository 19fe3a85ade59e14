"""What more replicas on a Ray cluster bring: answers per second through the gateway, by the number of replicas.

``build/scale/bin/python benchmarks/replicas.py`` (`make scale-test` makes that environment): with a network that waits
10 ms instead of computing, so that only what lies around it can end the growth; and with the shipped one, where the
processor's cores do. Everything runs on this machine: the cluster, the gateway and the streams that ask.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import click
import numpy as np

from quadfollow_core.shipped import DEFAULT_MODEL
from quadfollow_core.stream_client import StreamClient
from quadfollow_server.models import Loader
from quadfollow_server.scale.deployment import application
from quadfollow_server.scale.options import Options
from quadfollow_server.segmenter import ConstantSegmenter, Segmenter
from quadfollow_server.settings import Settings

COUNTS = (1, 2, 4)
STREAMS_EACH = 3
"""Streams per replica: enough that one frame waits while another is answered."""
FRAME = np.zeros((48, 64, 3), np.uint8)


def waiting(settings: Settings) -> Sequence[Segmenter]:
    """A network that waits 10 ms, whatever it is shown."""
    mask = np.zeros((48, 64), np.uint8)
    mask[10:30, 20:30] = 2
    return [ConstantSegmenter(mask, pause=partial(time.sleep, 0.010))]


def answers(address: str, streams: int, seconds: float) -> float:
    """Answers per second to so many streams, each of which asks again once it is answered."""
    counts = [0] * streams
    begin, end = threading.Barrier(streams + 1), threading.Event()

    def ask(number: int) -> None:
        with StreamClient(address, stream=f"s{number}", timeout=30.0) as client:
            client.offer(FRAME)
            client.poll(30.0)
            begin.wait()
            while not end.is_set():
                client.offer(FRAME)
                counts[number] += sum(fate.outcome == "result" for fate in client.poll(30.0))

    threads = [threading.Thread(target=ask, args=(number,), daemon=True) for number in range(streams)]
    for thread in threads:
        thread.start()
    begin.wait()
    started = time.monotonic()
    end.wait(seconds)
    passed, total = time.monotonic() - started, sum(counts)
    end.set()
    for thread in threads:
        thread.join()
    return total / passed


def measure(model: str, load: Loader | None, count: int, seconds: float) -> float:
    """Deploy so many replicas and ask them."""
    from ray import serve

    options = Options(models=(model,), device="cpu", min_replicas=count, max_replicas=count, zmq_port=0, pub_port=0)
    serve.run(application(options, load), name="measured", route_prefix=None)
    gateway = serve.get_deployment_handle("gateway", "measured")
    while len(gateway.streams.remote().result()) < count:
        time.sleep(0.2)
    rate = answers(f"tcp://127.0.0.1:{gateway.addresses.remote().result().zmq}", STREAMS_EACH * count, seconds)
    serve.delete("measured")
    return round(rate, 1)


@click.command()
@click.option("--seconds", default=5.0, show_default=True, help="Length of each measurement.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def main(seconds: float, as_json: bool) -> None:
    """Measure, and say how many times as many answers more replicas give."""
    import ray
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    ray.init(num_cpus=max(COUNTS) + 1, include_dashboard=False, log_to_driver=False)
    found: dict[str, dict[int, float]] = {}
    networks: tuple[tuple[str, str, Loader | None], ...] = (
        ("waits 10 ms", "waiting", waiting),
        (DEFAULT_MODEL, DEFAULT_MODEL, None),
    )
    for name, model, load in networks:
        found[name] = {count: measure(model, load, count, seconds) for count in COUNTS}
        click.echo(f"{name}: {told(found[name])}", err=True)
    ray.shutdown()
    if as_json:
        click.echo(json.dumps(found))


def told(rates: dict[int, Any]) -> str:
    """Lay one network's rates out."""
    return ", ".join(f"{count} replicas {rate} answers/s (x {rate / rates[1]:.1f})" for count, rate in rates.items())


if __name__ == "__main__":
    main()
