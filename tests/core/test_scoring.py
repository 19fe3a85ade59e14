"""The official score, to the last digit, and its rules one by one."""

from __future__ import annotations

import json
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from quadfollow_core.codec import encode_png
from quadfollow_core.errors import BadDataset
from quadfollow_core.resize import TARGET
from quadfollow_core.scoring import (
    SETS,
    SetScore,
    combine,
    pair_files,
    read_picture,
    score_folders,
    score_pairs,
    size_class,
)


def channels(target_pixels: int, size: int = 16) -> np.ndarray:
    """Truth or prediction with so many target pixels, background elsewhere."""
    stack = np.zeros((size * size, 3), bool)
    stack[:target_pixels, TARGET] = True
    stack[target_pixels:, 0] = True
    return stack.reshape(size, size, 3)


@pytest.mark.data
@pytest.mark.parametrize("name", ["best_public_256", "best_official_data_160"])
def test_reference_predictions_score_exactly(quadsim: Path, name: str) -> None:
    """Both public models' predictions give their published parts to 1e-6, at 256 and at 160 pixels."""
    reference = json.loads((quadsim / "reference_predictions/scores.json").read_text())[name]
    score = score_folders(quadsim / "reference_predictions" / name, quadsim / "sample_evaluation_data").as_dict()
    for part in ("final", "final_iou", "weight", "tp", "fp", "fn"):
        assert score[part] == pytest.approx(reference[part], abs=1e-6), part
    for name_of_set, parts in reference["sets"].items():
        for part, value in parts.items():
            assert score["sets"][name_of_set][part] == pytest.approx(value, abs=1e-6), (name_of_set, part)


def test_counts_follow_the_three_pixel_rule() -> None:
    """Three pixels of target are none, four are one, in truth and prediction alike."""
    score = score_pairs(
        [
            (channels(4), channels(4)),
            (channels(4), channels(3)),
            (channels(3), channels(4)),
            (channels(3), channels(3)),
        ]
    )
    assert (score.tp, score.fn, score.fp, score.tn) == (1, 1, 1, 1)


def test_an_empty_union_counts_as_zero_in_the_mean() -> None:
    """A frame with no target in truth and prediction pulls the set's mean IoU down, as the official scorer has it."""
    score = score_pairs([(channels(10), channels(10)), (channels(0), channels(0))])
    assert score.ious[TARGET] == 0.5


def test_the_final_score_is_weight_times_mean_iou() -> None:
    """The three sets combine as the formula says."""
    sets = {
        "following_images": score_pairs([(channels(10), channels(10))]),
        "patrol_with_targ": score_pairs([(channels(10), channels(5)), (channels(10), channels(0))]),
        "patrol_non_targ": score_pairs([(channels(0), channels(9))]),
    }
    score = combine(sets)
    assert score.weight == 2 / 4
    assert score.final_iou == (1 + 0.25) / 2
    assert score.final == score.weight * score.final_iou


def test_truth_is_resized_to_the_prediction() -> None:
    """A prediction of half the size is compared with the truth brought to that size."""
    truth = np.repeat(np.repeat(channels(32, 16), 2, axis=0), 2, axis=1)
    assert score_pairs([(truth, channels(32, 16))]).ious[TARGET] > 0.95


def test_a_missing_set_is_named() -> None:
    """Without all three sets there is no official score."""
    with pytest.raises(BadDataset, match="patrol_with_targ"):
        combine({"following_images": SetScore(), "patrol_non_targ": SetScore()})


def test_sizes_are_classed_at_the_truths_own_size() -> None:
    """Detection by size is counted in the class of the truth's pixels."""
    score = score_pairs([(channels(25), channels(25)), (channels(25), channels(0)), (channels(90), channels(90))])
    assert score.as_dict()["by_size"]["20-39"] == {"frames": 2, "detected": 1, "iou": 0.5}
    assert size_class(4) == "4-9"
    assert size_class(500) == "320+"


def write_folders(root: Path, frames: int) -> tuple[Path, Path]:
    """Prediction and truth folders of perfect predictions."""
    truth, predictions = root / "truth", root / "predictions"
    picture = encode_png((channels(20) * 255).astype(np.uint8))
    for name in SETS:
        for folder in (truth / name / "masks", predictions / name):
            folder.mkdir(parents=True)
            for index in range(frames):
                (folder / f"{index}.png").write_bytes(picture)
    return predictions, truth


def test_pictures_pair_by_what_their_names_share(tmp_path: Path) -> None:
    """Also where one run's name begins as another's does, so that images and masks sort differently."""
    runs = ("x", "x_dusk")
    images = {run: tmp_path / "images" / f"{run}_cam1_00001.jpeg" for run in runs}
    masks = {run: tmp_path / "masks" / f"{run}_mask_00001.png" for run in runs}
    for path in (*images.values(), *masks.values()):
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert sorted(images) != sorted(images, key=lambda run: masks[run].name), "control: plain order mixes them up"
    assert dict(pair_files(tmp_path / "images", tmp_path / "masks")) == {images[run]: masks[run] for run in runs}


def test_hidden_files_are_no_pictures(tmp_path: Path) -> None:
    """Half a file that a killed writer left, or a file manager's, pairs with nothing."""
    predictions, truth = write_folders(tmp_path, 2)
    for folder in (predictions / "patrol_with_targ", truth / "patrol_with_targ" / "masks"):
        (folder / ".part-1-2-0.png").write_bytes(b"half")
    (truth / "following_images" / "masks" / ".DS_Store").touch()
    assert score_folders(predictions, truth).tp == 6


def test_folders_that_do_not_pair_are_refused(tmp_path: Path) -> None:
    """A prediction too few is an error that gives both counts."""
    predictions, truth = write_folders(tmp_path, 2)
    assert score_folders(predictions, truth).tp == 6
    next((predictions / "patrol_with_targ").iterdir()).unlink()
    with pytest.raises(BadDataset, match=r"has 1 files but .* has 2"):
        score_folders(predictions, truth)


@pytest.mark.parametrize("side", ["predictions", "truth"])
def test_a_damaged_picture_is_named(tmp_path: Path, side: str) -> None:
    """A truncated prediction or mask is a fault of the data, and the message says which file."""
    write_folders(tmp_path, 2)
    damaged = sorted((tmp_path / side / "patrol_with_targ").rglob("*.png"))[1]
    damaged.write_bytes(damaged.read_bytes()[:40])
    with pytest.raises(BadDataset, match=re.escape(f"{damaged}: damaged PNG")):
        score_folders(tmp_path / "predictions", tmp_path / "truth")


def test_a_picture_beyond_the_limit_is_named(tmp_path: Path) -> None:
    """A header that promises too many pixels is a fault of the data as well."""
    huge = tmp_path / "huge.png"
    data = bytearray(encode_png(np.zeros((1, 1, 3), np.uint8)))
    header = b"IHDR" + struct.pack(">II", 1 << 15, 1 << 15) + data[24:29]
    data[12:33] = header + struct.pack(">I", zlib.crc32(header))
    huge.write_bytes(data)
    with pytest.raises(BadDataset, match=r"huge\.png: max_pixels"):
        read_picture(huge)
