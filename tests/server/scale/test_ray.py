"""A server on a Ray cluster of several nodes, all of them on this machine; `make scale-test` has what it needs."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import yaml

from quadfollow_core.codec import encode_jpeg
from quadfollow_core.http_client import HttpClient
from quadfollow_core.stream_client import Fate, StreamClient
from quadfollow_server.scale.deployment import application
from quadfollow_server.scale.options import Options
from quadfollow_server.segmenter import ConstantSegmenter
from quadfollow_server.settings import Settings
from quadfollow_sim.server_process import free_ports

ray = pytest.importorskip("ray", reason="needs the extra `scale`: run `make scale-test`")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(600)]

FRAME = np.zeros((48, 64, 3), dtype=np.uint8)
SMALL = 100_000_000
DOOR = "door"
ROOT = Path(__file__).parents[3]


def waiting(settings: Settings, milliseconds: float = 10.0) -> list[ConstantSegmenter]:
    """Models that wait instead of computing, one for each name."""
    mask = np.zeros((48, 64), dtype=np.uint8)
    mask[10:30, 20:30] = 2
    pause = partial(time.sleep, milliseconds / 1000)
    return [ConstantSegmenter(mask, pause=pause, name=name) for name in settings.models]


@pytest.fixture(scope="module")
def http_port() -> int:
    """A port for Ray's door."""
    (port,) = free_ports(1)
    return port


@pytest.fixture(scope="module")
def cluster(http_port: int) -> Iterator[Any]:
    """A head node for the gateway and two for replicas, which have room for four each."""
    from ray import cloudpickle, serve
    from ray.cluster_utils import Cluster

    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    head = {"num_cpus": 1, "resources": {DOOR: 1}, "include_dashboard": False}
    made = Cluster(initialize_head=True, head_node_args=head | {"object_store_memory": SMALL})
    for _ in range(2):
        made.add_node(num_cpus=4, num_gpus=1, object_store_memory=SMALL)
    ray.init(address=made.address, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": http_port})
    yield made
    serve.shutdown()
    ray.shutdown()
    made.shutdown()


class Running:
    """A server that runs on the cluster."""

    def __init__(self) -> None:
        from ray import serve

        self.gateway = serve.get_deployment_handle("gateway", "test")
        self.address = f"tcp://127.0.0.1:{self.gateway.addresses.remote().result().zmq}"

    @property
    def streams(self) -> dict[str, int]:
        """How many streams each replica has."""
        return dict(self.gateway.streams.remote().result())

    def await_replicas(self, number: int, until: Callable[..., None]) -> None:
        """Wait until so many replicas are at the gateway."""
        until(lambda: len(self.streams) == number, 180.0)


def laid_out(**options: Any) -> Any:
    """A server of waiting models, for the cluster to run."""
    told = {"zmq_port": 0, "pub_port": 0, "gateway_resource": DOOR, "models": ("constant",)} | options
    return application(Options(**told), waiting)


def serving(**options: Any) -> Running:
    """Run a server of waiting models."""
    from ray import serve

    serve.run(laid_out(**options), name="test", route_prefix="/")
    return Running()


class Load(threading.Thread):
    """One stream at a camera's pace, or as fast as it is answered, and all that became of its frames."""

    def __init__(self, address: str, stream: str, rate: float) -> None:
        super().__init__(daemon=True)
        self._address, self._stream, self._rate = address, stream, rate
        self._end = threading.Event()
        self.fates: list[Fate] = []
        self.offered = 0

    def run(self) -> None:
        """Offer frames until the end, then wait for what is under way."""
        with StreamClient(self._address, stream=self._stream, timeout=20.0) as client:
            while not self._end.is_set():
                client.offer(FRAME, want=["target", "track"])
                self.offered += 1
                self.fates += client.poll(1 / self._rate)
                self._end.wait(1 / self._rate)
            while not client.idle:
                self.fates += client.poll(0.1)
            self.fates += client.poll()

    def finish(self) -> Load:
        """Stop offering and return when everything is known."""
        self._end.set()
        self.join()
        return self


def loads(address: str, number: int, rate: float = 50.0) -> list[Load]:
    """So many streams at once."""
    made = [Load(address, f"s{index}", rate) for index in range(number)]
    for load in made:
        load.start()
    return made


def test_a_killed_node_costs_its_frames_under_way_and_no_more(cluster: Any, until: Callable[..., None]) -> None:
    """Under load, by id: each frame meets one fate, those that died with the node are told, the streams go on."""
    served = serving(min_replicas=4, max_replicas=4)
    served.await_replicas(4, until)
    running = loads(served.address, 8)
    until(lambda: all(len(load.fates) > 20 for load in running))
    before = served.streams
    doomed = next(iter(cluster.worker_nodes))
    cluster.remove_node(doomed, allow_graceful=False)
    at_death = [len(load.fates) for load in running]
    until(lambda: all(len(load.fates) > count + 50 for load, count in zip(running, at_death, strict=True)), 120.0)
    cluster.add_node(num_cpus=4, num_gpus=1, object_store_memory=SMALL)
    served.await_replicas(4, until)
    told = Counter()
    for load in (one.finish() for one in running):
        assert sorted(fate.id for fate in load.fates) == list(range(1, load.offered + 1))
        answered = [fate.id for fate in load.fates if fate.outcome == "result"]
        assert answered == sorted(answered)
        assert answered[-1] > load.offered - 5
        told.update((fate.outcome, fate.body.get("code")) for fate in load.fates)
    assert set(told) <= {("result", None), ("unsent", None), ("error", "unavailable")}
    assert told["error", "unavailable"] <= len(running)  # one credit each
    assert len(before) == 4


def deploy(told: dict[str, Any]) -> None:
    """Deploy a configuration as `serve deploy` does, but for the dashboard in between."""
    from ray.serve.context import _get_global_client
    from ray.serve.schema import ServeDeploySchema

    _get_global_client().deploy_apps(ServeDeploySchema.model_validate(told))


def test_models_are_changed_under_load_without_a_lost_frame(cluster: Any, until: Callable[..., None]) -> None:
    """The deployed configuration as it is shipped: another model in it, deployed again, and no frame fails."""
    from ray import serve

    told = yaml.safe_load((ROOT / "deploy/ray/serve.yaml").read_text())
    del told["http_options"]
    (configured,) = told["applications"]
    assert set(configured["args"]) <= set(Options.model_fields)
    changed = {"device": "cpu", "gpus": 0, "min_replicas": 2, "max_replicas": 2, "host": "127.0.0.1", "keys": None}
    configured["args"] |= changed | {"zmq_port": 0, "pub_port": 0}
    configured["name"] = "test"
    deploy(told)
    until(lambda: serve.status().applications["test"].status == "RUNNING", 120.0)
    served = Running()
    served.await_replicas(2, until)
    running = loads(served.address, 4, rate=10.0)
    until(lambda: all(len(load.fates) > 10 for load in running))
    configured["deployments"][0]["user_config"]["models"] = ["seed"]
    deploy(told)
    until(lambda: all(load.fates[-1].body.get("model", "seed") == "seed" for load in running), 120.0)
    fates = [fate for load in running for fate in load.finish().fates]
    assert {fate.outcome for fate in fates} <= {"result", "unsent"}
    assert {fate.body["model"] for fate in fates if fate.outcome == "result"} == {"follow-256", "seed"}


def test_the_same_routes_answer_through_rays_door(cluster: Any, http_port: int, until: Callable[..., None]) -> None:
    """Frames, what the server is, and the refusal of a stream that may have come to any replica."""
    served = serving(min_replicas=2, max_replicas=2)
    served.await_replicas(2, until)
    with HttpClient(f"http://127.0.0.1:{http_port}") as client:
        assert client.info()["ready"]
        assert client.segment(FRAME).sighting.target is not None
        tracked = [client.segment(FRAME, stream="s", track=True) for _ in range(3)]
        assert tracked[-1].body["track"]["state"] == "following"
    by_name = httpx.get(f"http://127.0.0.1:{http_port}/livez", headers={"host": "head.example.com"})
    assert by_name.status_code == 403, "Ray's door tells that it was asked over the loopback"
    jpeg = encode_jpeg(FRAME, 90)
    for stream, status in (("", 200), ("s", 400)):
        refused = httpx.post(f"http://127.0.0.1:{http_port}/segment", params={"stream": stream}, content=jpeg)
        assert refused.status_code == status


def test_fractions_of_gpus_are_shared_out(cluster: Any, until: Callable[..., None]) -> None:
    """Two nodes with a GPU each hold four replicas of half a GPU, and a fifth finds no place."""
    from ray import serve

    gpus = {"gpus": 0.5, "cpus": 0.1}
    served = serving(min_replicas=4, max_replicas=4, **gpus)
    served.await_replicas(4, until)
    free = ray.available_resources().get("GPU", 0)
    assert free == 0
    five = serve.RunTarget(laid_out(min_replicas=5, max_replicas=5, **gpus), "test")
    serve.run_many([five], wait_for_applications_running=False)

    def replicas() -> Any:
        return serve.status().applications["test"].deployments["replica"]

    until(lambda: "to be scheduled" in replicas().message, 180.0)
    assert replicas().replica_states == {"RUNNING": 4, "STARTING": 1}
    assert len(served.streams) == 4
    serve.delete("test")


def test_there_are_more_replicas_when_they_are_busy(cluster: Any, until: Callable[..., None]) -> None:
    """One replica that is at work all the time gets company, and loses it when there is less to do."""
    served = serving(min_replicas=1, max_replicas=3, downscale_delay_s=3.0)
    served.await_replicas(1, until)
    running = loads(served.address, 6, rate=100.0)
    served.await_replicas(3, until)
    for load in running:
        load.finish()
    served.await_replicas(1, until)
