"""A minute's flight, recorded: the public readers find all of it, and shown again it is answered alike."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mcap.reader import make_reader

from quadfollow_core.shipped import find_model
from quadfollow_server.running import RunningServer
from quadfollow_server.settings import Settings
from quadfollow_sim.flight import FlightPlan, carry_out
from quadfollow_sim.mission import MissionPlan, carry_out_mission, city_is_missing
from quadfollow_sim.recording import viewer
from quadfollow_sim.recording.source import read_pictures

RATE, SECONDS = 10.0, 60.0
PICTURES = round(RATE * SECONDS)
PER_PICTURE = ("image", "annotations", "result", "calibration", "drone", "truth")
"""Topics with a message for each picture; the target's place is known in most of them."""
SEEN = ("centroid", "box", "area", "confidence")
"""What is seen in a picture; how far away, the depth told that is not recorded."""
OTHER = "seed"
"""Another model, for contrast."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    """A server of two shipped models."""
    models = tuple(str(find_model(name)) for name in (None, OTHER))
    with RunningServer(Settings(models=models, port=0, zmq_port=0, pub_port=0, device="cpu")) as running:
        yield running


@pytest.fixture(scope="module")
def recording(server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A flight of a minute over the plaza."""
    missing = city_is_missing()
    if missing is not None:
        pytest.skip(str(missing))
    folder = tmp_path_factory.mktemp("flight")
    flight = {"preset": "plaza", "seconds": SECONDS, "rate": RATE, "stream": "front", "video": False}
    report = carry_out_mission(
        MissionPlan(server=server.address, out=folder, record=folder / "flight.mcap", **flight)  # type: ignore[arg-type]
    )
    assert not report["server_gone"]
    return folder / "flight.mcap"


def seen(path: Path) -> dict[bytes, Any]:
    """What was seen in each picture of a recording; None where nobody was."""
    targets = {shown.image: shown.answer["target"] for shown in read_pictures(path, "/front/image")}
    return {image: target and {key: target[key] for key in SEEN} for image, target in targets.items()}


def shown_again(server: RunningServer, recording: Path, folder: Path, model: str | None) -> dict[bytes, Any]:
    """What is seen when a recording goes by once more, twice as fast, by a clock that waits for each answer."""
    again = folder / "again.mcap"
    files = {"frames": recording, "out": folder / "out", "record": again}
    carry_out(
        FlightPlan("replay", server=server.address, model=model, stream="front", speed=2, video=False, **files)  # type: ignore[arg-type]
    )
    return seen(again)


def test_mcaps_reader_finds_every_topic(recording: Path) -> None:
    """A message for every picture, in order, over the whole minute."""
    with recording.open("rb") as file:
        reader = make_reader(file, validate_crcs=True)
        rows = [(channel.topic, record.log_time / 1e9) for _, channel, record in reader.iter_messages()]
    counts = Counter(topic for topic, _ in rows)
    assert {topic: counts[f"/front/{topic}"] for topic in PER_PICTURE} == dict.fromkeys(PER_PICTURE, PICTURES)
    assert counts["/tf"] == PICTURES
    assert PICTURES / 2 < counts["/front/target"] <= PICTURES
    assert counts["/log"] > 0
    times = [time for topic, time in rows if topic == "/front/image"]
    assert times == sorted(times)
    assert times[-1] - times[0] == pytest.approx(SECONDS - 1 / RATE, abs=0.01)


def test_rerun_finds_every_topic(recording: Path, tmp_path: Path) -> None:
    """Rerun's own program verifies it and lists each as an entity, the pictures as pictures, every one of them."""
    pytest.importorskip("rerun", reason="Rerun is not installed: pip install 'quadfollow[rerun]'")
    viewer.convert(recording, tmp_path / "flight.rrd")

    def rerun(verb: str) -> str:
        command = [sys.executable, "-m", "rerun", "rrd", verb, str(tmp_path / "flight.rrd")]
        home = os.environ | {"HOME": str(tmp_path)}
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, env=home).stdout

    rerun("verify")
    chunks = re.findall(r"with (\d+) rows .* - (/\S+) - data columns: \[(.*)\]", rerun("print"))
    assert {f"/front/{topic}" for topic in (*PER_PICTURE, "target")} | {"/tf", "/log"} <= {
        name for _, name, _ in chunks
    }
    pictures = [
        int(rows) for rows, name, columns in chunks if name == "/front/image" and "EncodedImage:blob" in columns
    ]
    assert sum(pictures) == PICTURES


@pytest.mark.usefixtures("in_step")
def test_shown_again_it_is_answered_alike(server: RunningServer, recording: Path, tmp_path: Path) -> None:
    """Picture by picture the same target to the last digit."""
    first, again = seen(recording), shown_again(server, recording, tmp_path, None)
    assert len(again) == PICTURES
    assert any(again.values())
    assert [image for image, target in again.items() if first[image] != target] == []


@pytest.mark.usefixtures("in_step")
def test_another_model_answers_otherwise(server: RunningServer, recording: Path, tmp_path: Path) -> None:
    """Negative control: most pictures that show somebody are seen in another way by another model."""
    first, other = seen(recording), shown_again(server, recording, tmp_path, OTHER)
    both = [(first[image], target) for image, target in other.items() if first[image] or target]
    assert len(both) > PICTURES / 2
    assert sum(one != two for one, two in both) > 0.9 * len(both)
