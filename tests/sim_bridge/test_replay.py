"""Recordings are shown in order with their masks, and faulty files are named before the first frame."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from quadfollow_core.codec import encode_png
from quadfollow_core.errors import BadDataset, BadInput
from quadfollow_core.resize import TARGET
from quadfollow_sim.replay import ReplaySource
from quadfollow_sim.world import FrameSource, Observation

Write = Callable[..., Path]


def show(source: FrameSource) -> list[Observation]:
    """All that a source shows."""
    return list(iter(source.read, None))


def test_frames_and_masks_pair_in_sorted_order(tmp_path: Path, write_set: Write) -> None:
    """Frame i comes i-th, with its own mask."""
    seen = show(ReplaySource(write_set(tmp_path / "set", 5)))
    assert [observation.name for observation in seen] == [f"images/0_run1cam1_{i:05d}.jpeg" for i in range(5)]
    for number, observation in enumerate(seen):
        assert observation.truth is not None
        assert np.flatnonzero((observation.truth == TARGET).any(axis=1)).tolist() == [number]
        assert abs(int(observation.pixels().mean()) - 10 * number) <= 1


def test_several_sets_follow_one_another(tmp_path: Path, write_set: Write) -> None:
    """A folder of sets is shown set by set, and the names say which."""
    for name in ("patrol", "following"):
        write_set(tmp_path / name, 2)
    sets = [observation.name.split("/")[0] for observation in show(ReplaySource(tmp_path))]
    assert sets == ["following", "following", "patrol", "patrol"]


def test_a_plain_folder_of_pictures_has_no_truth(tmp_path: Path) -> None:
    """Pictures of several kinds are shown by name; other files are none of our business."""
    for name in ("b.png", "a.PNG", ".hidden.png"):
        (tmp_path / name).write_bytes(encode_png(np.zeros((4, 4, 3), dtype=np.uint8)))
    (tmp_path / "notes.txt").write_text("not a picture")
    seen = show(ReplaySource(tmp_path))
    assert [(observation.name, observation.truth) for observation in seen] == [("a.PNG", None), ("b.png", None)]


def test_skipped_frames_are_passed_over(tmp_path: Path, write_set: Write) -> None:
    """Skipping two goes on with the third after."""
    source = ReplaySource(write_set(tmp_path, 4))
    source.read()
    seen = source.read(2)
    assert seen is not None
    assert seen.name.endswith("00003.jpeg")
    assert source.read() is None


def test_a_loop_starts_over(tmp_path: Path, write_set: Write) -> None:
    """A looped recording has no end."""
    source = ReplaySource(write_set(tmp_path, 2), loop=True)
    names = [seen.name[-10:-5] for _ in range(5) if (seen := source.read()) is not None]
    assert names == ["00000", "00001", "00000", "00001", "00000"]


def test_every_faulty_file_is_named_at_once(tmp_path: Path, write_set: Write) -> None:
    """Truncated images, damaged masks and masks without classes stand in one error, before any frame."""
    folder = write_set(tmp_path, 6)
    images, masks = sorted((folder / "images").iterdir()), sorted((folder / "masks").iterdir())
    images[1].write_bytes(images[1].read_bytes()[:-40])
    images[2].write_bytes(b"")
    masks[3].write_bytes(b"\x89PNG\r\n\x1a\nrubbish")
    masks[4].write_bytes(encode_png(np.full((16, 16), 2, dtype=np.uint8)))
    masks[5].write_bytes(encode_png(np.full((16, 8, 3), 255, dtype=np.uint8)))
    with pytest.raises(BadDataset) as caught:
        ReplaySource(folder)
    named = [path for path in [*images, *masks] if any(str(path) in problem for problem in caught.value.problems)]
    assert named == [images[1], images[2], masks[3], masks[4], masks[5]]
    assert len(caught.value.problems) == 5


def test_unpaired_files_are_named(tmp_path: Path, write_set: Write) -> None:
    """An image without its mask and a mask without its image are told apart, in every set."""
    first, second = write_set(tmp_path / "a", 4), write_set(tmp_path / "b", 4)
    (first / "masks" / "0_run1_mask_00002.png").unlink()
    (second / "images" / "0_run1cam1_00001.jpeg").unlink()
    with pytest.raises(BadDataset) as caught:
        ReplaySource(tmp_path)
    assert [problem.split(": ")[1] for problem in caught.value.problems] == [
        "image without a mask",
        "mask without an image",
    ]
    assert "a/images/0_run1cam1_00002.jpeg" in caught.value.problems[0]
    assert "b/masks/0_run1_mask_00001.png" in caught.value.problems[1]


def test_counts_are_told_where_names_tell_nothing(tmp_path: Path, write_set: Write) -> None:
    """When no name of one kind resembles one of the other, the counts are what is known."""
    folder = write_set(tmp_path, 3)
    for number, path in enumerate(sorted((folder / "masks").iterdir())):
        path.rename(path.with_name(f"label{number}.png"))
    (folder / "masks" / "label0.png").unlink()
    with pytest.raises(BadDataset, match="3 images but 2 masks"):
        ReplaySource(folder)


def test_of_two_cameras_the_one_without_masks_is_named(tmp_path: Path, write_set: Write) -> None:
    """Not left out, however alike their names are."""
    folder = write_set(tmp_path, 1)
    other = folder / "images" / "0_run1cam2_00000.jpeg"
    other.write_bytes(next((folder / "images").iterdir()).read_bytes())
    with pytest.raises(BadDataset) as caught:
        ReplaySource(folder)
    assert caught.value.problems == (f"{other}: image without a mask",)


def test_twins_are_counted(tmp_path: Path, write_set: Write) -> None:
    """Two pictures that both go by the mask's name leave it open whose it is."""
    folder = write_set(tmp_path, 1)
    image = next((folder / "images").iterdir())
    image.with_suffix(".jpg").write_bytes(image.read_bytes())
    with pytest.raises(BadDataset, match="2 images but 1 masks"):
        ReplaySource(folder)


def test_a_mask_of_another_frame_is_nobodys_truth(tmp_path: Path, write_set: Write) -> None:
    """As many masks as images, but those of the frames one later: by name, and where only the number is named."""
    whole, short = write_set(tmp_path / "a", 4), write_set(tmp_path / "b", 4)
    (whole / "images" / "0_run1cam1_00003.jpeg").unlink()
    (whole / "masks" / "0_run1_mask_00000.png").unlink()
    for number in reversed(range(4)):
        (short / "masks" / f"0_run1_mask_{number:05d}.png").rename(short / "masks" / f"0__mask_{number + 1:05d}.png")
    with pytest.raises(BadDataset) as caught:
        ReplaySource(tmp_path)
    assert [problem.split(": ")[1].split(",")[0] for problem in caught.value.problems] == [
        "image without a mask",
        "mask without an image",
        *["the mask in its place"] * 4,
    ]


def test_masks_with_shortened_names_pair_in_order(tmp_path: Path, write_set: Write) -> None:
    """As the official evaluation sets have them: the run is left out, the frame's number tells."""
    folder = write_set(tmp_path, 3)
    for path in list((folder / "masks").iterdir()):
        path.rename(path.with_name(path.name.replace("run1", "")))
    truths = [seen.truth for seen in show(ReplaySource(folder))]
    assert [np.flatnonzero((truth == TARGET).any(axis=1)).tolist() for truth in truths] == [[0], [1], [2]]


def empty(folder: Path) -> None:
    """Neither images nor masks, but folders for them."""
    (folder / "images").mkdir()
    (folder / "masks").mkdir()


@pytest.mark.parametrize("make", [lambda folder: None, lambda folder: (folder / "images").mkdir(), empty])
def test_nothing_to_show_is_said(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """An empty folder, or one with an empty images/, is refused by name."""
    make(tmp_path)
    with pytest.raises(BadDataset, match="no pictures"):
        ReplaySource(tmp_path)
    with pytest.raises(BadDataset, match="no folder"):
        ReplaySource(tmp_path / "missing")


def test_a_rate_of_nothing_is_refused(tmp_path: Path) -> None:
    """Frames have to come at some rate."""
    with pytest.raises(BadInput, match="rate"):
        ReplaySource(tmp_path, rate=0)


@pytest.mark.data
def test_the_real_evaluation_sets_are_replayed(quadsim: Path) -> None:
    """All 1,134 official frames pair with their masks, whose targets are as many as the data's page says."""
    seen = show(ReplaySource(quadsim / "sample_evaluation_data"))
    counts = {"following_images": 0, "patrol_non_targ": 0, "patrol_with_targ": 0}
    for observation in seen:
        assert observation.truth is not None
        counts[observation.name.split("/")[0]] += int((observation.truth == TARGET).sum()) > 3
    assert len(seen) == 1134
    assert counts == {"following_images": 539, "patrol_non_targ": 0, "patrol_with_targ": 312}
