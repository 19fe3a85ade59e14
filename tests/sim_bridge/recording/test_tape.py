"""What a recording holds, read back by the public reader, and what is left of a torn one."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from mcap.opcode import Opcode
from mcap.reader import make_reader
from mcap.stream_reader import MAGIC_SIZE
from tests.sim_bridge.recording.conftest import BODY, decoded, moment, picture

from quadfollow_core.errors import BadDataset, BadInput
from quadfollow_sim.recording.moment import Moment
from quadfollow_sim.recording.reader import PREFIX, Damage, is_whole, read_messages, repair
from quadfollow_sim.recording.tape import Tape

TOPICS = {
    "/front/image": "foxglove.CompressedImage",
    "/front/result": "quadfollow.Result",
    "/front/annotations": "foxglove.ImageAnnotations",
    "/front/calibration": "foxglove.CameraCalibration",
    "/front/drone": "foxglove.PoseInFrame",
    "/front/target": "foxglove.PoseInFrame",
    "/front/truth": "foxglove.PoseInFrame",
    "/tf": "foxglove.FrameTransform",
    "/log": "foxglove.Log",
}


def write(path: Path, count: int) -> Path:
    """Write a recording of so many pictures."""
    with Tape(path) as tape:
        for number in range(count):
            tape.write(moment(number))
    return path


def test_every_topic_is_there_in_foxgloves_schemas(tmp_path: Path) -> None:
    """Each picture brings one message of each topic at its time of capture; the log says when the state changed."""
    rows = decoded(write(tmp_path / "a.mcap", 3))
    assert {topic: schema for topic, schema, _, _ in rows} == TOPICS
    counts = Counter(topic for topic, *_ in rows)
    assert counts == {topic: 1 if topic == "/log" else 3 for topic in TOPICS}
    times = sorted({round(time, 3) for _, _, time, _ in rows})
    assert times == pytest.approx([1_700_000_000 + number / 20 for number in range(3)])


def test_messages_say_what_was_answered(tmp_path: Path) -> None:
    """Picture, box, centroid, poses, calibration in whole-number pixels, state and the answer itself."""
    said = {topic: message for topic, _, _, message in decoded(write(tmp_path / "a.mcap", 1))}
    assert said["/front/image"].data == picture(0)
    assert (said["/front/image"].format, said["/front/image"].frame_id) == ("jpeg", "front")
    assert json.loads(said["/front/result"]) == BODY | {"id": 0}
    drawn = said["/front/annotations"]
    assert [(p.x, p.y) for p in drawn.points[1].points] == [(8, 6), (13, 6), (13, 18), (8, 18)]
    assert (drawn.circles[0].position.x, drawn.circles[0].position.y) == (10.5, 12.0)
    assert drawn.texts[0].text == "0.90, 3.5 m, following"
    assert list(said["/front/calibration"].K) == [30, 0, 15.5, 0, 31, 11.5, 0, 0, 1]
    place = said["/front/target"].pose.position
    assert (said["/front/target"].frame_id, place.x, place.y, place.z) == ("world", 1.1, 2.1, 0.9)
    place = said["/tf"].translation
    assert (said["/tf"].child_frame_id, place.x, place.y, place.z) == ("front", 4, 5, 6)
    assert "following" in said["/log"].message


def test_nobody_seen_is_drawn_as_nothing(tmp_path: Path) -> None:
    """Without a target, a track or a camera there are a picture, an answer and empty annotations."""
    with Tape(tmp_path / "a.mcap") as tape:
        tape.write(Moment("", 5.0, {"target": None, "people": [], "camera": None}, picture(1)))
    said = {topic: message for topic, _, _, message in decoded(tmp_path / "a.mcap")}
    assert set(said) == {"/camera/image", "/camera/result", "/camera/annotations"}
    assert not said["/camera/annotations"].points


def test_a_file_says_that_people_are_in_it(tmp_path: Path) -> None:
    """The notice and the origin travel with the pictures."""
    with Tape(tmp_path / "a.mcap", origin="tcp://somewhere:5556"):
        pass
    with (tmp_path / "a.mcap").open("rb") as file:
        (about,) = make_reader(file).iter_metadata()
    assert about.metadata["from"] == "tcp://somewhere:5556"
    assert "People" in about.metadata["notice"]


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """A name that is taken gets the next number, whatever else lies there."""
    (tmp_path / "a-notes.mcap").write_text("mine")
    names = [Tape(tmp_path / "a.mcap") for _ in range(3)]
    for tape in names:
        tape.close()
    assert [tape.files[0].name for tape in names] == ["a.mcap", "a-2.mcap", "a-3.mcap"]
    assert (tmp_path / "a-notes.mcap").read_text() == "mine"


def test_a_name_that_cannot_be_written_is_bad_input(tmp_path: Path) -> None:
    """Neither another format nor a folder that is a file."""
    with pytest.raises(BadInput, match="mcap"):
        Tape(tmp_path / "a.bag")
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="cannot be written"):
        Tape(tmp_path / "file" / "a.mcap")


def test_a_torn_recording_is_read_up_to_the_tear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever a file breaks off, all whole chunks before it are read; more bytes never bring fewer messages."""
    monkeypatch.setattr("quadfollow_sim.recording.tape.FLUSH", 0.0)
    data = write(tmp_path / "a.mcap", 6).read_bytes()
    torn, before, seen = tmp_path / "torn.mcap", 0, set()
    for end in range(8, len(data), 97):
        torn.write_bytes(data[:end])
        count = sum(heard.channel.topic == "/front/image" for heard in read_messages(torn))
        assert count >= before
        before = count
        seen.add(count)
    assert seen == set(range(7))


def test_a_torn_recording_can_be_mended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its copy has an index and the same messages."""
    monkeypatch.setattr("quadfollow_sim.recording.tape.FLUSH", 0.0)
    data = write(tmp_path / "a.mcap", 6).read_bytes()
    torn = tmp_path / "torn.mcap"
    torn.write_bytes(data[: len(data) // 2])
    assert not is_whole(torn)
    messages = [(heard.channel.topic, heard.record.data) for heard in read_messages(torn)]
    assert repair(torn, tmp_path / "whole.mcap") == (len(messages), Damage())
    assert len(messages) > 10
    assert is_whole(tmp_path / "whole.mcap")
    assert [(heard.channel.topic, heard.record.data) for heard in read_messages(tmp_path / "whole.mcap")] == messages
    assert {row[0] for row in decoded(tmp_path / "whole.mcap")} == set(TOPICS)


def chunks(data: bytes) -> list[slice]:
    """Where the contents of a recording's chunks lie."""
    found, place = [], MAGIC_SIZE
    while place < len(data) - MAGIC_SIZE:
        kind, length = PREFIX.unpack_from(data, place)
        place += PREFIX.size
        if kind == Opcode.CHUNK:
            found.append(slice(place, place + length))
        place += length
    return found


def zeroed(data: bytes, *places: slice) -> bytes:
    """The same with zeros there."""
    left = bytearray(data)
    for place in places:
        left[place] = bytes(len(data[place]))
    return bytes(left)


def heard_in(path: Path) -> list[tuple[str, bytes]]:
    """Topic and content of each message."""
    return [(heard.channel.topic, heard.record.data) for heard in read_messages(path)]


def test_a_damaged_recording_is_mended_but_for_the_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two chunks, one wholly and one half zeros, nothing is left; the others are saved. To read it is refused."""
    monkeypatch.setattr("quadfollow_sim.recording.tape.FLUSH", 0.0)
    path, whole = write(tmp_path / "a.mcap", 6), tmp_path / "whole.mcap"
    before, data = heard_in(path), path.read_bytes()
    found = chunks(data)
    half = slice((found[-1].start + found[-1].stop) // 2, found[-1].stop)
    path.write_bytes(zeroed(data, found[-2], half))
    with pytest.raises(BadDataset, match="damaged"):
        heard_in(path)
    count, damage = repair(path, whole)
    assert damage == Damage(records=2)
    assert heard_in(whole) == before[:count]
    assert sum(topic == "/front/image" for topic, *_ in decoded(whole)) == 4


def test_a_topic_that_stood_in_a_damaged_chunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A finished recording tells it once more; of one that is not, the messages nobody can name are counted."""
    monkeypatch.setattr("quadfollow_sim.recording.tape.FLUSH", 0.0)
    path, whole = tmp_path / "a.mcap", tmp_path / "whole.mcap"
    with Tape(path) as tape:
        for number, stream in enumerate(("front", "back", "back", "front")):
            tape.write(moment(number, stream))
    data = path.read_bytes()
    found = chunks(data)
    for end, counts in ((len(data), {"/front/image": 2, "/back/image": 1}), (found[-1].stop, {"/front/image": 2})):
        path.write_bytes(zeroed(data, found[1])[:end])
        _, damage = repair(path, whole)
        assert (damage.records, damage.messages > 0) == (1, end < len(data))
        assert Counter(topic for topic, *_ in decoded(whole) if topic.endswith("/image")) == counts


@pytest.mark.parametrize("data", [b"", b"not a recording at all", b"\x89MCAP0\r\n\x01"])
def test_what_is_no_recording_is_named(tmp_path: Path, data: bytes) -> None:
    """The error names the file; half a header is a recording without anything in it."""
    path = tmp_path / "other.mcap"
    path.write_bytes(data)
    with pytest.raises(BadDataset, match="other"):
        repair(path, tmp_path / "whole.mcap")
    assert not (tmp_path / "whole.mcap").exists()
