"""Finding, pairing, checking and splitting labelled frames."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from quadfollow_core.codec import encode_png
from quadfollow_core.errors import BadDataset, BadInput
from quadfollow_core.scoring import pair_key
from quadfollow_training import frames as frames_module
from quadfollow_training.frames import open_frames, read_frame
from quadfollow_training.layout import find_sets, run_of


def test_a_folder_of_sets_is_read_as_one(data):
    """Every frame of every set below a folder is found, with its run and what is in it."""
    frames = open_frames([data])
    assert len(frames) == 27
    assert frames.runs == ["1_run1", "2_run1", "3_run1"]
    assert frames.target.max() == 16 * 16
    assert {frame.folder for frame in frames.items} == {"train", "validation"}


def test_sets_can_be_chosen_by_name_or_path(data):
    """A recipe's folders, a set itself, or several roots select the frames."""
    assert open_frames([data], ["train"]).runs == ["1_run1", "2_run1"]
    assert open_frames([data / "validation"], ["train"]).runs == ["3_run1"]
    assert len(open_frames([data / "train", data / "validation"])) == 27


def test_a_frame_decodes_to_image_and_classes(data):
    """Image and class mask have one size, and the mask the classes 0 to 2."""
    frames = open_frames([data / "train"])
    index = int(np.argmax(frames.target))
    image, mask = read_frame(frames.items[index])
    assert (image.shape, mask.shape) == ((64, 64, 3), (64, 64))
    assert int((mask == 2).sum()) == frames.target[index]


@pytest.mark.parametrize(
    ("image", "mask", "run"),
    [
        ("8_run5cam1_00603.jpeg", "8_run5_mask_00603.png", "8_run5"),
        ("0_run6_cam1_00005_data_pack2.jpeg", "0_run6_mask_00005_data_pack2.png", "0_run6"),
        ("a_0_run1_cam1_00000.jpeg", "a_0_run1_mask_00000.png", "a_0_run1"),
    ],
)
def test_names_tell_pair_and_run(image, mask, run):
    """Image and mask share a key, and what precedes cam1 names the run."""
    assert pair_key(Path(image)) == pair_key(Path(mask))
    assert run_of(Path("train/images") / image) == run


def test_names_that_do_not_match_pair_by_sorted_order(data):
    """Where the masks' names are of another kind, sorted order pairs them, as in the evaluation sets."""
    for path in (data / "validation" / "masks").iterdir():
        path.rename(path.with_name(path.name.replace("3_run1_mask", "3__mask")))
    frames = open_frames([data / "validation"])
    assert [frame.image.stem[-5:] for frame in frames.items] == [frame.labels[0].stem[-5:] for frame in frames.items]


def test_every_faulty_file_is_named(data):
    """Damaged, truncated, misshapen and unpaired files are all reported at once."""
    images, masks = data / "train" / "images", data / "train" / "masks"
    whole = (images / "1_run1cam1_00000.jpeg").read_bytes()
    (images / "1_run1cam1_00000.jpeg").write_bytes(whole[: len(whole) // 2])
    (masks / "1_run1_mask_00001.png").write_bytes(b"")
    (masks / "1_run1_mask_00002.png").write_bytes(encode_png(np.zeros((8, 8, 3), np.uint8)))
    (masks / "1_run1_mask_00003.png").unlink()
    (images / "1_run1cam1_00004.jpeg").unlink()
    with pytest.raises(BadDataset) as caught:
        open_frames([data])
    named = " ".join(caught.value.problems)
    assert len(caught.value.problems) == 5
    for name in ("cam1_00000", "mask_00001", "mask_00002", "cam1_00003", "mask_00004"):
        assert f"1_run1{'' if name.startswith('cam1') else '_'}{name}" in named


@pytest.mark.parametrize(
    ("picture", "fault"),
    [
        (np.zeros((4097, 4096), np.uint8), "max_pixels"),
        (np.ones((64, 64), np.uint8), "4096 pixel.*without exactly one class"),  # class numbers instead of channels
        (np.full((64, 64), 255, np.uint8), "4096 pixel.*without exactly one class"),  # white on black
    ],
)
def test_a_mask_that_cannot_be_meant_is_named(data, picture, fault):
    """A mask beyond the limits, or with pixels of no class or of several, is a fault and not background."""
    (data / "train" / "masks" / "1_run1_mask_00003.png").write_bytes(encode_png(picture))
    with pytest.raises(BadDataset, match=f"1_run1_mask_00003.png: .*{fault}"):
        open_frames([data])


def test_names_that_say_the_same_are_reported(data):
    """Of two images for one mask none is dropped in silence."""
    images = data / "validation" / "images"
    shutil.copy(images / "3_run1cam1_00001.jpeg", images / "3_run1_cam1_00001.jpg")
    with pytest.raises(BadDataset) as caught:
        open_frames([data])
    (problem,) = caught.value.problems
    assert all(name in problem for name in ("3_run1cam1_00001.jpeg", "3_run1_cam1_00001.jpg"))


def test_different_counts_without_matching_names_are_reported(data):
    """Sorted order pairs nothing when the counts differ."""
    folder = data / "validation" / "masks"
    for path in folder.iterdir():
        path.rename(path.with_name(path.name.replace("3_run1_mask", "3__mask")))
    next(folder.iterdir()).unlink()
    with pytest.raises(BadDataset, match="9 images but 8 masks"):
        open_frames([data])


@pytest.mark.parametrize("place", [".", "following_images"])
def test_evaluation_data_is_refused(evaluation, place):
    """Evaluation sets given as training data are refused, whole or one by one."""
    with pytest.raises(BadDataset, match="never trains"):
        open_frames([evaluation / place])


def test_evaluation_sets_under_other_names_are_refused(evaluation, tmp_path):
    """Their folder's name does not matter: the three sets are recognised."""
    shutil.move(evaluation, tmp_path / "more")
    with pytest.raises(BadDataset, match="never trains"):
        open_frames([tmp_path / "more"])


def test_evaluation_data_beside_the_sets_is_left_alone(data, evaluation):
    """A data folder that also holds the evaluation sets gives only the others."""
    shutil.move(evaluation, data / "sample_evaluation_data")
    assert [folder.name for folder in find_sets([data])] == ["train", "validation"]


def test_a_copied_evaluation_frame_is_refused_by_its_content(data, monkeypatch):
    """A frame of the evaluation sets is recognised whatever it is called."""
    image = data / "train" / "images" / "1_run1cam1_00002.jpeg"
    known = frozenset({frames_module.short_hash(image.read_bytes())})
    monkeypatch.setattr(frames_module, "evaluation_images", lambda: known)
    with pytest.raises(BadDataset, match=r"cam1_00002.jpeg: a frame of the official evaluation sets"):
        open_frames([data])


def test_a_folder_without_data_sets_is_refused(tmp_path, data):
    """A folder without data sets is an error, also beside one that has some."""
    with pytest.raises(BadDataset, match="no data set"):
        open_frames([data, tmp_path])


@pytest.mark.parametrize(
    ("roots", "folders", "taken"),
    [
        (["data"], ["train", "validation", "train_extra"], ["train", "validation"]),
        (["data", "more"], ["train", "train_extra"], ["train", "train_extra"]),  # under different roots
        (["data"], ["other"], ["train", "validation"]),  # own recordings under own names
        (["data", "more/own"], ["train"], ["train", "own"]),  # a set given itself is wanted
        (["data", "data/train"], None, ["train", "validation"]),  # given twice, taken once
    ],
)
def test_of_the_sets_named_those_that_exist_are_taken(tmp_path, data, write_run, roots, folders, taken):
    """A recipe's sets are looked for below all roots together; without any of them everything is taken."""
    write_run(tmp_path / "more" / "train_extra", "4_run1", 2, seed=4, target=5)
    write_run(tmp_path / "more" / "own", "5_run1", 2, seed=5, target=5)
    assert [path.name for path in find_sets([tmp_path / root for root in roots], folders)] == taken


def test_the_order_of_the_roots_does_not_matter(data):
    """A run resumed with its --data the other way round sees the same frames in the same order."""
    roots = [data / "train", data / "validation"]
    assert open_frames(roots).items == open_frames(roots[::-1]).items == open_frames([data]).items


def test_an_empty_set_is_refused(tmp_path):
    """A set without frames is an error and not a training run on nothing."""
    for name in ("images", "masks"):
        (tmp_path / "set" / name).mkdir(parents=True)
    with pytest.raises(BadDataset, match="no frames"):
        open_frames([tmp_path / "set"])


def test_whole_runs_are_held_out(data):
    """No run has frames on both sides of a split, and no frame is lost."""
    frames = open_frames([data])
    learn, held_out = frames.split(["2_run1"])
    assert learn.runs == ["1_run1", "3_run1"]
    assert held_out.runs == ["2_run1"]
    assert len(learn) + len(held_out) == len(frames)
    assert held_out.target.tolist() == [f.target for f in held_out.facts]


@pytest.mark.parametrize(
    ("runs", "message"), [(["9_run9"], "9_run9.*1_run1"), (["1_run1", "2_run1", "3_run1"], "every")]
)
def test_impossible_splits_are_refused(data, runs, message):
    """A run that is not there, or all that are, cannot be held out."""
    with pytest.raises(BadInput, match=message):
        open_frames([data]).split(runs)


def test_the_fingerprint_follows_the_content(data, tmp_path):
    """The same frames elsewhere have the same fingerprint; one changed byte changes it."""
    shutil.copytree(data, tmp_path / "copy")
    first = open_frames([data]).fingerprint
    assert open_frames([tmp_path / "copy"]).fingerprint == first
    mask = tmp_path / "copy" / "train" / "masks" / "1_run1_mask_00000.png"
    mask.write_bytes(mask.read_bytes() + b"\0")
    assert open_frames([tmp_path / "copy"]).fingerprint != first
