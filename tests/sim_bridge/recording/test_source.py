"""A recording and a film as worlds: their pictures, their own times, faster and slower."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from foxglove_schemas_protobuf.CompressedImage_pb2 import CompressedImage
from mcap.writer import Writer
from mcap_protobuf.schema import register_schema
from tests.sim_bridge.recording.conftest import moment, picture

from quadfollow_core.errors import BadDataset, BadInput
from quadfollow_core.request import parse_camera
from quadfollow_sim.film import FilmSource
from quadfollow_sim.flight import FlightPlan, open_world
from quadfollow_sim.pace import Timetable
from quadfollow_sim.recording.moment import Moment
from quadfollow_sim.recording.source import McapSource
from quadfollow_sim.recording.tape import Tape
from quadfollow_sim.world import FrameSource, Observation, Timed

TIMES = (0.0, 0.05, 0.1, 0.5, 0.55)
SHOWN = CompressedImage(data=picture(3), format="jpeg").SerializeToString()


def show(source: FrameSource, count: int = 100) -> list[Observation]:
    """The first pictures of a source."""
    return [seen for _ in range(count) if (seen := source.read()) is not None]


def record(path: Path, streams: tuple[str, ...] = ("front",)) -> Path:
    """Record pictures at TIMES."""
    with Tape(path) as tape:
        for number, seconds in enumerate(TIMES):
            for stream in streams:
                like = moment(number, stream)
                tape.write(Moment(stream, 1_700_000_000 + seconds, like.body, like.image))
    return path


def film(path: Path, rate: float = 10.0, count: int = 6) -> Path:
    """Write a film whose pictures get lighter."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), rate, (64, 48))
    for number in range(count):
        writer.write(np.full((48, 64, 3), (0, 0, 40 * number), dtype=np.uint8))
    writer.release()
    return path


def test_a_recording_goes_by_in_its_own_time(tmp_path: Path) -> None:
    """Pictures byte for byte with camera and truth, due when they were taken."""
    source = McapSource(record(tmp_path / "a.mcap"))
    assert isinstance(source, Timed)
    assert source.times == pytest.approx(TIMES, abs=1e-5)
    assert source.again is None
    assert source.rate == pytest.approx(4 / 0.55, rel=1e-3)
    seen = show(source)
    assert [one.image for one in seen] == [picture(number) for number in range(5)]
    assert seen[0].camera == parse_camera(moment(0).body["camera"])
    assert seen[0].target == (1.2, 2.2, 0.8)


def test_speed_and_skips(tmp_path: Path) -> None:
    """Twice as fast, half the times; what is skipped is passed over."""
    source = McapSource(record(tmp_path / "a.mcap"), speed=2)
    assert source.times == pytest.approx([time / 2 for time in TIMES], abs=1e-5)
    late = source.read(2)
    assert late is not None
    assert late.image == picture(2)
    with pytest.raises(BadInput, match="--speed"):
        McapSource(tmp_path / "a.mcap", speed=0)


def test_a_recording_begins_anew(tmp_path: Path) -> None:
    """With --loop the last picture is followed by the first."""
    source = McapSource(record(tmp_path / "a.mcap"), loop=True)
    assert [one.image for one in show(source, 7)] == [picture(number) for number in (0, 1, 2, 3, 4, 0, 1)]
    assert source.again == pytest.approx(0.55 + 0.55 / 4, abs=1e-4)


def test_of_several_cameras_one_is_chosen(tmp_path: Path) -> None:
    """Without a choice the error names them."""
    path = record(tmp_path / "a.mcap", ("front", "back"))
    with pytest.raises(BadDataset, match=r"--topic[\s\S]*/back/image[\s\S]*/front/image"):
        McapSource(path)
    with pytest.raises(BadDataset, match="/back/image"):
        McapSource(path, topic="/left/image")
    assert len(show(McapSource(path, topic="/back/image"))) == 5


def test_a_camera_that_is_not_there_is_no_problem_of_the_files(
    tmp_path: Path, run: Callable[..., int], start_peer: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error ends with the cameras to choose from."""
    how = ("--frames", record(tmp_path / "a.mcap", ("front", "back")), "--out", tmp_path / "out")
    assert run("fly", *how, "--topic", "/nosuch/image", "--server", start_peer().address) == 3
    assert capsys.readouterr().err.endswith("but of /back/image, /front/image\n")


def test_a_torn_recording_is_shown_up_to_the_tear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No index is needed."""
    monkeypatch.setattr("quadfollow_sim.recording.tape.FLUSH", 0.0)
    data = record(tmp_path / "a.mcap").read_bytes()
    (tmp_path / "torn.mcap").write_bytes(data[: len(data) // 2])
    seen = show(McapSource(tmp_path / "torn.mcap"))
    assert 0 < len(seen) < 5
    assert seen[0].image == picture(0)


def test_pictures_that_cannot_be_read_are_named_before_the_first(tmp_path: Path) -> None:
    """Truncated JPEGs, no recording, and one without pictures."""
    with Tape(tmp_path / "a.mcap") as tape:
        tape.write(Moment("", 1.0, {}, picture(1)[:-30]))
    with pytest.raises(BadDataset, match="picture 1"):
        McapSource(tmp_path / "a.mcap")
    with Tape(tmp_path / "b.mcap"):
        pass
    with pytest.raises(BadDataset, match="no pictures"):
        McapSource(tmp_path / "b.mcap")
    (tmp_path / "c.mcap").write_text("nothing")
    with pytest.raises(BadDataset, match=r"no MCAP file, or damaged: it does not begin as one$"):
        McapSource(tmp_path / "c.mcap")


def foreign(path: Path, answer: bytes, *, encoding: str = "json", name: str = "", image: bytes = SHOWN) -> Path:
    """A file as another program might write it: a picture, and something on the topic of our answers."""
    with path.open("wb") as file:
        writer = Writer(file)
        writer.start("", "another program")
        pictures = writer.register_channel("/cam/image", "protobuf", register_schema(writer, CompressedImage))
        schema = writer.register_schema(name, "jsonschema", b"{}") if name else 0
        for channel, data in ((pictures, image), (writer.register_channel("/cam/result", encoding, schema), answer)):
            writer.add_message(channel, 1000, data, 1000)
        writer.finish()
    return path


@pytest.mark.parametrize(
    ("encoding", "name", "answer"),
    [("cdr", "", b"\0\1\0\0\xff\xfe"), ("json", "", b"[1,2]"), ("json", "their.Result", b'{"camera": 7}')],
)
def test_other_programs_results_are_none_of_ours(tmp_path: Path, encoding: str, name: str, answer: bytes) -> None:
    """Their pictures are shown without."""
    (seen,) = show(McapSource(foreign(tmp_path / "a.mcap", answer, encoding=encoding, name=name)))
    assert (seen.image, seen.camera, seen.target) == (picture(3), None, None)


@pytest.mark.parametrize(
    ("answer", "image", "words"),
    [
        (b"\xff\xfe", SHOWN, "/cam/image"),
        (b"[1,2]", SHOWN, "picture 1"),
        (b'{"camera": 7}', SHOWN, "picture 1"),
        (b'{"truth": {"target": [1]}}', SHOWN, "picture 1"),
        (b'{"truth": 7}', SHOWN, "picture 1"),
        (b"{}", b"\xff\xff", "/cam/image"),
    ],
)
def test_what_is_not_of_its_schema_is_named(tmp_path: Path, answer: bytes, image: bytes, words: str) -> None:
    """Answers of ours, and pictures, that cannot be read."""
    with pytest.raises(BadDataset, match=words):
        McapSource(foreign(tmp_path / "a.mcap", answer, name="quadfollow.Result", image=image))
    assert show(McapSource(foreign(tmp_path / "b.mcap", b"{}", name="quadfollow.Result"))), "control"


def test_a_film_goes_by_in_its_own_time(tmp_path: Path) -> None:
    """Pictures in order at the film's times; skipping and looping as in a recording."""
    path = film(tmp_path / "a.mp4")
    source = FilmSource(path, speed=0.5)
    assert source.times == pytest.approx([0.2 * number for number in range(6)], abs=0.01)
    reds = [int(one.pixels()[:, :, 0].mean()) for one in show(source)]
    assert reds == pytest.approx([40 * number for number in range(6)], abs=8)
    source = FilmSource(path, loop=True)
    late = source.read(5)
    first = source.read()
    assert late is not None
    assert first is not None
    assert (late.name, first.name) == ("a.mp4#00005", "a.mp4#00000")
    source.close()


def test_what_is_no_film_is_named(tmp_path: Path) -> None:
    """The error says what is taken."""
    (tmp_path / "a.mp4").write_text("no film")
    with pytest.raises(BadDataset, match="video"):
        FilmSource(tmp_path / "a.mp4")


def test_frames_may_be_a_folder_a_recording_or_a_film(tmp_path: Path) -> None:
    """The plan opens each as what it is; options of one are refused by the others."""
    kinds = [
        type(open_world(FlightPlan("replay", path))) for path in (record(tmp_path / "a.mcap"), film(tmp_path / "a.mp4"))
    ]
    assert kinds == [McapSource, FilmSource]
    with pytest.raises(BadInput, match="--topic"):
        open_world(FlightPlan("replay", tmp_path / "a.mp4", topic="/a"))
    with pytest.raises(BadInput, match="--frames"):
        FlightPlan("drawn", speed=2.0)


def test_a_timetable_counts_what_was_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the pictures' own times, also over the seam of a loop."""
    table = Timetable(TIMES, again=0.7)
    for elapsed, missed, lag in ((0.0, 0, 0.0), (0.06, 0, 0.01), (0.52, 1, 0.02), (0.81, 3, 0.01)):
        monkeypatch.setattr(table, "elapsed", lambda elapsed=elapsed: elapsed)
        assert table.tick() == missed
        assert table.lag() == pytest.approx(lag)
