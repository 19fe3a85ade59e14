"""QuadSim's raw DL-Training recordings."""

from __future__ import annotations

import numpy as np
import pytest

from quadfollow_core.codec import encode_jpeg, encode_png
from quadfollow_core.errors import BadDataset
from quadfollow_training.frames import open_frames, read_frame
from quadfollow_training.prepare import convert
from quadfollow_training.recordings import classes_from_cameras


@pytest.fixture
def recording(tmp_path):
    """A recording of three frames: a person at 10, the target at 20 behind a wall on its left half."""
    folder = tmp_path / "flight7"
    (folder / "IMG").mkdir(parents=True)
    nothing = np.full((32, 32, 3), 255, dtype=np.uint8)
    people, target, world = nothing.copy(), nothing.copy(), np.full_like(nothing, 200)
    people[2:8, 2:8] = 10
    target[20:28, 16:24] = 20
    world[20:28, 16:20] = 15
    for number in range(3):
        for camera, picture in enumerate((np.full_like(nothing, 90 + number), people, target, world), 1):
            (folder / "IMG" / f"cam{camera}_{number:05}.png").write_bytes(encode_png(picture))
    return folder


@pytest.mark.parametrize(
    ("people", "target", "world", "expected"),
    [
        (255, 255, 200, 0),  # only the street
        (10, 255, 200, 1),
        (255, 20, 200, 2),
        (10, 20, 200, 1),  # the person stands before the target
        (255, 20, 15, 0),  # the target is hidden
        (255, 255, 255, 0),  # nothing anywhere: 254 is the smallest
        (20, 255, 20, 0),  # level with the wall, which wins by the one that is taken off
        (255, 255, 0, 0),  # 0 - 1 wraps to 255, and background wins the tie
        (255, 254, 0, 2),  # ... but loses to anything nearer
    ],
)
def test_the_nearest_class_wins(people, target, world, expected):
    """A pixel belongs to whichever of street, people and target is nearest, by QuadSim's own arithmetic."""
    pictures = [np.full((1, 1, 3), value, dtype=np.uint8) for value in (people, target, world)]
    assert classes_from_cameras(*pictures).item() == expected


def test_a_recording_is_a_data_set(recording):
    """A recording is found by itself or from its parent, named as its run, and labelled by depth."""
    frames = open_frames([recording])
    assert frames.runs == ["flight7"]
    image, mask = read_frame(frames.items[1])
    assert image[0, 0].tolist() == [91, 91, 91]
    assert [(mask == value).sum() for value in (1, 2)] == [36, 32]
    assert len(open_frames([recording.parent])) == 3


def test_a_missing_camera_is_named(recording):
    """A frame without one of its cameras is reported with both names."""
    (recording / "IMG" / "cam3_00001.png").unlink()
    (recording / "IMG" / "cam1_00002.png").unlink()
    with pytest.raises(BadDataset) as caught:
        open_frames([recording])
    assert [problem.split(": ")[1] for problem in caught.value.problems] == [
        "frame 00001 lacks cam3",
        "frame 00002 lacks cam1",
    ]


def test_a_camera_of_another_size_is_named(recording):
    """A depth picture that does not fit its image is reported, whichever of the three it is."""
    (recording / "IMG" / "cam4_00001.png").write_bytes(encode_png(np.zeros((16, 32, 3), np.uint8)))
    with pytest.raises(BadDataset, match=r"cam4_00001.png: is 32x16, its image 32x32"):
        open_frames([recording])


def test_a_converted_recording_reads_the_same(recording, tmp_path):
    """Conversion writes the processed layout with the same run, masks and (nearly) the same pictures."""
    before = open_frames([recording])
    assert convert(before, tmp_path / "out") == 3
    after = open_frames([tmp_path / "out"])
    assert after.runs == before.runs
    for one, other in zip(before.items, after.items, strict=True):
        assert np.array_equal(read_frame(one)[1], read_frame(other)[1])
        assert np.abs(read_frame(one)[0].astype(int) - read_frame(other)[0]).max() < 4


def test_a_jpeg_is_copied_whatever_its_name(tmp_path):
    """A camera's own files, named as cameras name them, are not compressed once more."""
    for folder in ("images", "masks"):
        (tmp_path / "run" / folder).mkdir(parents=True)
    picture = encode_jpeg(np.random.default_rng(0).integers(0, 255, (16, 16, 3), dtype=np.uint8), 30)
    mask = encode_png(np.full((16, 16, 3), (255, 0, 0), dtype=np.uint8))
    (tmp_path / "run" / "images" / "a_cam1_00001.JPG").write_bytes(picture)
    (tmp_path / "run" / "masks" / "a_mask_00001.png").write_bytes(mask)
    convert(open_frames([tmp_path / "run"]), tmp_path / "out")
    (copy,) = (tmp_path / "out" / "images").iterdir()
    assert copy.read_bytes() == picture
