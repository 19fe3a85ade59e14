"""What the benchmarks share: turns, percentiles, ratios, and loads whose books agree with the server's."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from measuring import results
from measuring.cameras import film
from measuring.frames import frame
from measuring.null_server import null_network
from measuring.peers import png_mask, v2_binary, v2_binary_mask, v2_json_mask
from measuring.servers import Ours, get, http_plan, http_request, put_load, zmq_plan, zmq_request
from measuring.summaries import percentiles, ratio, spread
from measuring.turns import timed

from quadfollow_core.codec import encode_png
from quadfollow_server.running import RunningServer

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_a_way_is_timed_call_by_call() -> None:
    """So many calls give so many times, each at least as long as the call sleeps."""
    times = timed(lambda: time.sleep(0.002), 3)()
    assert len(times) == 3
    assert min(times) >= 2


def test_percentiles_of_known_values() -> None:
    """Of 0 to 100 each percentile is its own number; what is unknown is left out."""
    assert percentiles([*range(101), None]) == {"p50": 50, "p95": 95, "p99": 99, "count": 101}
    assert percentiles([]) == {"p50": None, "p95": None, "p99": None, "count": 0}


def test_a_ratio_is_taken_round_by_round() -> None:
    """A machine that is half as fast in one round leaves the ratio as it is."""
    assert ratio([10.0, 5.0, 20.0], [5.0, 2.5, 10.0]) == {"median": 2, "low": 2, "high": 2}
    assert spread([3.0, 1.0, 2.0]) == {"median": 2, "low": 1, "high": 3}


def test_rounds_that_do_not_match_are_refused() -> None:
    """Values of different rounds are not compared, and no values have no spread."""
    with pytest.raises(ValueError, match="2 rounds"):
        ratio([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="no round"):
        spread([])


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ours]:
    """Our server with a network that costs nothing, as a process of its own."""
    with Ours(tmp_path_factory.mktemp("logs") / "null.log", None) as server:
        yield server


def counted(server: Ours, door: str) -> float:
    """How many results the server says it gave at a door."""
    lines = get(server.port, "/metrics")[1].decode().splitlines()
    of_door = [line for line in lines if line.startswith("quadfollow_frames_total") and f'door="{door}"' in line]
    return sum(float(line.split()[-1]) for line in of_door if 'outcome="result"' in line)


def test_the_load_clients_books_agree_with_the_server(ours: Ours) -> None:
    """Over both doors, the server counts the answers that the clients counted, and at most one more each."""
    request = http_request("/segment", frame(), {"Content-Type": "image/jpeg"})
    parts = zmq_request(frame(), encoding="jpeg", want=["target"])
    for door, plan in (("http", http_plan(ours.port, request)), ("zmq", zmq_plan(ours.zmq_port, parts))):
        before, loads = counted(ours, door), list[dict[str, Any]]()
        while not (loads and loads[-1]["latencies"]):  # a machine that stood still answers another load
            loads.append(put_load(replace(plan, clients=3, seconds=0.5, warm_up=0.1)))
        asked = sum(load["asked"] for load in loads)
        assert 0 <= counted(ours, door) - before - asked <= 3 * len(loads)
        assert len(loads[-1]["latencies"]) <= loads[-1]["asked"]
        assert [load["errors"] for load in loads] == [0] * len(loads)
        assert loads[-1]["cpu_ms"] > 0


def test_refusals_are_errors_and_no_answers(ours: Ours) -> None:
    """Negative control: what the server refuses is not counted as answered."""
    over_http = http_plan(ours.port, http_request("/segment", b"no picture", {"Content-Type": "image/jpeg"}))
    over_zmq = zmq_plan(ours.zmq_port, zmq_request(b"no picture", encoding="jpeg"))
    for plan in (over_http, over_zmq):
        errors = 0
        while not errors:  # as above
            load = put_load(replace(plan, seconds=0.2, warm_up=0.1))
            assert load["latencies"] == []
            errors = load["errors"]


def test_every_frame_of_a_camera_meets_one_fate(monkeypatch: pytest.MonkeyPatch) -> None:
    """All frames that a camera offered after its warm-up are in its books."""
    monkeypatch.setattr("measuring.cameras.PATIENCE", 60.0)
    with RunningServer(segmenters=[null_network(64)]) as server:
        filmed = film(server.address, "one", frame(), time.monotonic(), hz=50.0, seconds=0.5)
    assert filmed["offered"] == sum(filmed["outcomes"].values()) == 25
    assert len(filmed["ages"]) == filmed["outcomes"].get("result", 0)


def test_masks_are_read_from_every_kind_of_answer() -> None:
    """A PNG, a PNG in base64 in JSON, and raw bytes behind JSON give the same mask."""
    mask = np.arange(12, dtype=np.uint8).reshape(3, 4)
    png = encode_png(mask)
    text = json.dumps({"outputs": [{"data": [base64.b64encode(png).decode()]}]}).encode()
    binary = json.dumps({"outputs": [{"shape": [1, 3, 4]}]}).encode() + mask.tobytes()
    for found in (png_mask(png), v2_json_mask(text), v2_binary_mask(binary)):
        np.testing.assert_array_equal(found, mask)


def test_a_binary_request_says_where_its_json_ends() -> None:
    """The header's length leads to the pixels of the decoded frame."""
    head, _, body = v2_binary(frame()).partition(b"\r\n\r\n")
    lines = dict(line.split(": ") for line in head.decode().splitlines()[1:])
    end = int(lines["Inference-Header-Content-Length"])
    assert json.loads(body[:end])["inputs"][0]["shape"] == [1, 256, 256, 3]
    assert len(body) - end == 256 * 256 * 3


def times_of(figures: Any) -> Iterator[float]:
    """Every median time among a result's figures, ms."""
    if isinstance(figures, dict) and "p50" in figures:
        yield figures["p50"]
    elif isinstance(figures, dict | list):
        for part in figures.values() if isinstance(figures, dict) else figures:
            yield from times_of(part)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        pytest.param("floor", ["--batch", "1"], marks=pytest.mark.slow),
        pytest.param("stages", ["--device", "cpu"], marks=pytest.mark.slow),
        ("latency", ["--device", "cpu"]),
    ],
)
def test_a_small_run_leaves_a_result_that_makes_a_page(name: str, options: list[str], tmp_path: Path) -> None:
    """The JSON names benchmark, machine and options, its times are positive, and the page shows each."""
    run = [sys.executable, BENCHMARKS / f"{name}.py", "--model", "seed", "--rounds", "1", "--calls", "1", *options]
    subprocess.run([str(word) for word in [*run, "--out", tmp_path]], check=True, capture_output=True)
    result = results.load(name, tmp_path)
    assert result is not None
    assert (result["benchmark"], result["options"]["rounds"]) == (name, 1)
    assert result["machine"]["cores"] >= 1
    times = list(times_of(result["figures"]))
    assert min(times) >= 0 < np.median(times)
    words = [sys.executable, BENCHMARKS / "page.py", "--results", tmp_path, "--docs", tmp_path / "docs"]
    subprocess.run([str(word) for word in words], check=True, capture_output=True)
    page = (tmp_path / "docs" / "benchmarks.md").read_text()
    assert f"benchmarks/{name}.py" in page
    assert [time for time in times if f" {time:.2f} |" not in page and f" {time:.3f} |" not in page] == []


def shown(docs: Path) -> dict[Path, bytes]:
    """A documentation's pages of results, and their charts."""
    names = ("benchmarks.md", "profile.md", "img/bench-*.svg")
    return {path.relative_to(docs): path.read_bytes() for name in names for path in docs.glob(name)}


def test_the_pages_are_those_of_the_kept_results(tmp_path: Path) -> None:
    """The documentation's pages and charts are those that the results beside the benchmarks give, and no others."""
    words = [sys.executable, BENCHMARKS / "page.py", "--docs", tmp_path]
    subprocess.run([str(word) for word in words], check=True, capture_output=True)
    made = shown(tmp_path)
    assert len(made) > 2
    assert made == shown(BENCHMARKS.parent / "docs")
