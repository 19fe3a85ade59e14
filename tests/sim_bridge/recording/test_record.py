"""The command ``record`` in a process of its own: what it writes, and what is left when it is killed or out of room."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.sim_bridge.recording.conftest import BODY, Publisher, decoded, picture
from tests.sim_bridge.unhurried import PATIENCE

from quadfollow_core import wire
from quadfollow_core.codec import decode_image
from quadfollow_sim.recording import subscriber
from quadfollow_sim.recording.reader import is_whole, read_messages
from quadfollow_sim.recording.tape import Tape

Start = Callable[..., "subprocess.Popen[str]"]
WRONG: list[dict[str, Any]] = [
    {"picture": "x"},
    {"track": "x"},
    {"camera": {"fx": -1, "fy": 1, "cx": 1, "cy": 1}},
    {"held_ms": [1]},
    {"target": {"centroid": [1, 2]}},
    {"people": 7},
    {"frame": {"width": None}},
]
"""Answers that are not of the wire's form, each with a picture."""


def pictures(path: Path) -> int:
    """How many pictures are in a file now."""
    if not path.exists() or path.stat().st_size < 8:
        return 0
    return sum(heard.channel.topic == "/front/image" for heard in read_messages(path))


def wait_for_pictures(path: Path, count: int) -> None:
    """Wait until so many pictures are in a file that is being written."""
    end = time.monotonic() + PATIENCE
    while pictures(path) < count:
        assert time.monotonic() < end, f"{pictures(path)} of {count} pictures"
        time.sleep(0.05)


def test_what_is_published_is_recorded(tmp_path: Path, publisher: Publisher, start_program: Start) -> None:
    """Ctrl-C ends it with a whole file; stdout is one object that names it."""
    path, began = tmp_path / "rec" / "a.mcap", time.time()
    process = start_program("record", "--from", publisher.address, "-o", path, "--json")
    assert publisher.wait_for_subscriber() == b"\x01" + wire.PICTURES
    for number in range(5):
        publisher.publish(number, captured_at=time.time())
    publisher.publish(5, stream="back")
    wait_for_pictures(path, 5)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    told = json.loads(out)
    assert (told["files"], told["pictures"], told["streams"]) == ([str(path)], 6, ["back", "front"])
    assert "people are in these pictures" in err
    rows = decoded(path)
    assert [message.data for topic, _, _, message in rows if topic == "/front/image"] == [picture(i) for i in range(5)]
    assert sum(topic == "/back/image" for topic, *_ in rows) == 1
    assert all(began - 60 < when < time.time() + 60 for _, _, when, _ in rows)  # a clock may be set meanwhile


def test_a_stream_without_a_name_is_told_of(tmp_path: Path, publisher: Publisher, start_program: Start) -> None:
    """The line at the end says that it was recorded."""
    path = tmp_path / "a.mcap"
    process = start_program("record", "--from", publisher.address, "-o", path)
    publisher.wait_for_subscriber()
    publisher.publish(1, stream="")
    for line in process.stderr:
        if line.startswith("recording stream"):
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE)
    assert "pictures 1  streams (without a name)" in out, err


def test_a_killed_recorder_loses_at_most_the_last_second(
    tmp_path: Path, publisher: Publisher, start_program: Start
) -> None:
    """Without any further picture the last ones reach the file, and SIGKILL leaves them there; they can be mended."""
    path = tmp_path / "a.mcap"
    process = start_program("record", "--from", publisher.address, "-o", path, "--stream", "front")
    assert publisher.wait_for_subscriber() == b"\x01" + wire.picture_topic("front")
    for number in range(20):
        publisher.publish(number)
    wait_for_pictures(path, 20)
    process.kill()
    process.communicate(timeout=PATIENCE)
    assert not is_whole(path)
    assert pictures(path) == 20
    mending = start_program("record", "--repair", path, "-o", tmp_path / "whole.mcap", "--json")
    out, err = mending.communicate(timeout=PATIENCE)
    assert mending.returncode == 0, err
    assert json.loads(out)["messages"] > 100
    assert sum(topic == "/front/image" for topic, *_ in decoded(tmp_path / "whole.mcap")) == 20


def test_a_full_disk_ends_the_recorder_with_4(tmp_path: Path, publisher: Publisher, start_program: Start) -> None:
    """The error names the file and the remedy, and what was written can be read."""
    path = tmp_path / "a.mcap"
    room = (60_000, 60_000)
    process = start_program(
        *("record", "--from", publisher.address, "-o", path),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, room),
    )
    publisher.wait_for_subscriber()
    number = 0
    while process.poll() is None:
        publisher.publish(number)
        number += 1
        time.sleep(0.002)
    assert process.returncode == 4
    _, err = process.communicate(timeout=PATIENCE)
    assert str(path) in err
    assert "--max-size" in err
    assert "Traceback" not in err
    assert path.stat().st_size <= room[0]
    assert not is_whole(path)
    list(read_messages(path))


def listen(publisher: Publisher, path: Path, until: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record here until something is told, and return all that was."""
    monkeypatch.setattr(subscriber, "SILENCE", 0.3)
    told: list[str] = []
    with Tape(path) as tape:
        over = time.monotonic() + PATIENCE
        subscriber.record_publications(
            publisher.address,
            tape,
            stop=lambda: any(until in text for text in told) or time.monotonic() > over,
            tell=told.append,
        )
    return told


def test_silence_is_said_with_its_likely_reasons(
    tmp_path: Path, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes on waiting, and the recording's log says so too."""
    told = listen(publisher, tmp_path / "a.mcap", "still waiting", monkeypatch)
    assert publisher.address in told[-1]
    assert "5556" in told[-1]
    assert [message.message for *_, message in decoded(tmp_path / "a.mcap")] == told


def test_raw_pixels_are_recorded_without_loss_and_nonsense_is_passed_over(
    tmp_path: Path, publisher: Publisher, start_program: Start
) -> None:
    """Raw pixels become a PNG; what is no publication is counted and not written, and one without a picture is."""
    path = tmp_path / "a.mcap"
    process = start_program("record", "--from", publisher.address, "-o", path, "--json")
    publisher.wait_for_subscriber()
    pixels = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    publisher.send(b"\xff", b"nonsense")
    publisher.send(b"\xfffront\0", b"[]", b"")
    shape: dict[str, Any] = {"encoding": "raw-rgb8", "width": 6, "height": 4}
    publisher.send(*map(bytes, wire.encode_picture("front", BODY | {"picture": shape}, b"short")))
    for wrong in WRONG:
        publisher.publish(1, **wrong)
    publisher.send(*map(bytes, wire.encode_picture("front", BODY | {"picture": {"encoding": "jpeg"}}, b"no picture")))
    publisher.send(*map(bytes, wire.encode_picture("front", BODY | {"picture": None}, b"")))
    publisher.send(*map(bytes, wire.encode_picture("front", BODY | {"picture": shape}, pixels.tobytes())))
    wait_for_pictures(path, 1)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=PATIENCE)
    told = json.loads(out)
    assert (process.returncode, told["malformed"], told["pictures"]) == (0, 4 + len(WRONG), 2), err
    (image,) = [message for topic, _, _, message in decoded(path) if topic == "/front/image"]
    assert image.format == "png"
    assert np.array_equal(decode_image(image.data), pixels)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["-o", "a.mcap"], "--from"),
        (["--from", "localhost:5556", "-o", "a.mcap"], "tcp://127.0.0.1:5556"),
        (["--from", "tcp://127.0.0.1:1", "-o", "a.avi"], "NAME.mcap"),
        (["--from", "tcp://127.0.0.1:1", "-o", "a.mcap", "--max-size", "big"], "500M"),
        (["--from", "tcp://127.0.0.1:1", "-o", "a.mcap", "--max-size", "3M"], "--max-size"),
        (["--from", "tcp://127.0.0.1:1", "-o", "a.mcap", "--seconds", "0"], "--seconds"),
        (["--repair", "b.mcap", "-o", "a.mcap", "--max-size", "2G"], "--max-size"),
    ],
)
def test_bad_usage_ends_with_2_and_the_remedy(
    tmp_path: Path, start_program: Start, arguments: list[str], word: str
) -> None:
    """Nothing is written."""
    process = start_program("record", *arguments, cwd=tmp_path)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 2
    assert word in err
    assert not list(tmp_path.iterdir())


def test_without_the_extra_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that only serves has no MCAP package."""
    from quadfollow_core.errors import Unavailable
    from quadfollow_sim.recording import extra

    monkeypatch.setattr(extra, "PACKAGES", ("mcap", "no_such_package"))
    with pytest.raises(Unavailable, match=r"quadfollow\[record\]"):
        extra.require_mcap()
