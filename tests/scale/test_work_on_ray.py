"""Data rendered and searches made on a Ray cluster of two nodes on this machine, by `make scale-test`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from quadfollow_core.cluster import ClusterPool
from quadfollow_core.errors import NotFound, Unavailable
from quadfollow_core.shipped import find_model

ray = pytest.importorskip("ray", reason="needs the extra `scale`: run `make scale-test`")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(600)]

QUADFOLLOW = (sys.executable, "-c", "from quadfollow_core.cli import main; main()")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Where a cluster of two machines answers, each with one core."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 1, "include_dashboard": False, "object_store_memory": 100_000_000},
    )
    cluster.add_node(num_cpus=1, object_store_memory=100_000_000)
    yield cluster.address
    cluster.shutdown()


def run(*words: object) -> dict[str, object]:
    """Run a command in a process of its own, as a user does, and read the JSON it prints."""
    done = subprocess.run(
        [*QUADFOLLOW, *map(str, words), "--json"], capture_output=True, text=True, timeout=500, check=False
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a set."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.*g")}


def test_calls_are_made_on_the_cluster_and_their_errors_come_back(address: str) -> None:
    """Answers and errors of calls come back; where no cluster answers, that is said."""
    with ClusterPool(address, environment={"LP_NUM_THREADS": "0"}) as pool:
        places = [pool.submit(ray.util.get_node_ip_address) for _ in range(4)]
        assert all(place.result(60) for place in places)
        with pytest.raises(NotFound, match="no model 'nobody'"):
            pool.submit(find_model, "nobody").result(60)
    with pytest.raises(Unavailable, match="no Ray cluster answers"):
        ClusterPool("127.0.0.1:1")


def test_a_set_rendered_on_the_cluster_is_the_same_and_can_be_searched_on(address: str, tmp_path: Path) -> None:
    """Two cities, byte for byte as one machine draws them; two searchers then share four trials on them."""
    what = ("data", "render", "--count", 160, "--seed", 3)
    assert run(*what, "-o", tmp_path / "here")["rendered"] == 160
    assert run(*what, "-o", tmp_path / "there", "--ray", address)["rendered"] == 160
    assert contents(tmp_path / "here") == contents(tmp_path / "there")
    assert len(contents(tmp_path / "there")) == 320
    size = ("--epochs", 1, "--pixels", 1_100_000, "--trials", 4, "--seed", 1, "--hold-out", "city_street_run0001")
    where = ("--data", tmp_path / "there", "--out", tmp_path / "search", "--ray", address, "--workers", 2)
    outcome = run("tune", "--recipe", "own-256", *size, *where)
    trials = outcome["trials"]
    assert isinstance(trials, list)
    assert sum(trial["state"] in ("complete", "pruned") for trial in trials) >= 4
    assert (tmp_path / "search" / "trials.log").stat().st_size > 0
