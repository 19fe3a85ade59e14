"""What batches hold, and that they hold the same whatever the threads do."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from quadfollow_core.errors import BadDataset, BadInput
from quadfollow_training.batches import Batches, Crops, Draw, Shares, WholeFrames, fit_sample, folder_odds
from quadfollow_training.frames import Frames, open_frames, read_frame
from quadfollow_training.memory import Memory

MIXED = Draw(Shares(0.5, 0.25, 0.25))
ALL_STEPS = ("flip", "brightness", "contrast", "tint", "saturation", "jpeg", "blur")


@pytest.fixture
def frames(data):
    """All made-up frames."""
    return open_frames([data])


def _batches(sampler, *, seed=1, epoch=0, workers=1):
    return Batches(sampler, batch=4, steps=6, seed=seed, epoch=epoch, workers=workers)


def test_a_batch_has_images_and_class_masks(frames):
    """Batches are uint8 images and class masks of the sizes asked for."""
    images, masks = _batches(WholeFrames(frames, (64, 32), Draw()))[0]
    assert (images.shape, images.dtype) == ((4, 32, 64, 3), np.uint8)
    assert (masks.shape, masks.dtype) == ((4, 32, 64), np.uint8)
    images, masks = _batches(Crops(frames, 32, Draw()))[0]
    assert (images.shape, masks.shape) == ((4, 32, 32, 3), (4, 32, 32))


def test_a_batch_follows_from_seed_epoch_and_index_alone(frames):
    """Asking in another order, or from another object, gives the same batches; other seeds and epochs give others."""
    sampler = Crops(frames, 32, MIXED, ALL_STEPS, (0.6, 1.4))
    forwards = [_batches(sampler)[index] for index in range(6)]
    again = _batches(sampler)
    backwards = [again[index] for index in reversed(range(6))][::-1]
    assert all(np.array_equal(a[0], b[0]) for a, b in zip(forwards, backwards, strict=True))
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(forwards, backwards, strict=True))
    different = [_batches(sampler, seed=2)[0], _batches(sampler, epoch=1)[0], forwards[1]]
    assert not any(np.array_equal(forwards[0][0], other[0]) for other in different)


def test_shares_of_folders_leave_other_sets_something(frames):
    """A set that is there and never drawn would be left out in silence; where all are named they may sum to 1."""
    with pytest.raises(BadInput, match="leave nothing for the sets validation"):
        WholeFrames(frames, (32, 32), Draw(folders={"train": 1.0}))
    WholeFrames(frames, (32, 32), Draw(folders={"train": 0.7, "validation": 0.2 + 0.1}))


def test_shares_decide_what_crops_are_cut_around(frames):
    """Crops cut around a target hold one, those around people hold people, and the shares are those asked for."""
    rng = np.random.default_rng(0)
    for sampler, size in ((Crops, 16), (WholeFrames, (32, 32))):
        targets, people = (sampler(frames, size, Draw(shares)) for shares in (Shares(1, 0, 1e-9), Shares(0, 1, 1e-9)))
        assert all((targets.draw(rng)[1] == 2).any() for _ in range(30))
        assert all((people.draw(rng)[1] == 1).any() for _ in range(30))
    anywhere = Crops(frames, 16, Draw(Shares(0, 0, 1)))
    assert Counter(bool((anywhere.draw(rng)[1] == 2).any()) for _ in range(60))[False] > 20


def test_a_crop_of_the_whole_frame_is_the_fitted_frame(frames):
    """Crops change size as whole frames and the scorer's masks do, where targets are small above all."""
    rng = np.random.default_rng(0)
    image, mask = rng.integers(0, 255, (64, 64, 3), dtype=np.uint8), np.zeros((64, 64), dtype=np.uint8)
    mask[10:13, 20:24], mask[30:32, 40:47] = 2, 1
    crop = Crops(frames, 40, Draw(), zoom=(0.625, 0.625)).cut(image, mask, None, rng)
    assert all(np.array_equal(a, b) for a, b in zip(crop, fit_sample(image, mask, (40, 40)), strict=True))


def test_crops_are_cut_around_mistakes(frames):
    """A place where a network was wrong lies in the crop, also where the whole frame was scaled before."""
    index = int(np.flatnonzero(frames.target)[0])
    v, u = np.argwhere(read_frame(frames.items[index])[1] == 2).mean(axis=0) / 64
    how = Draw(Shares(0, 0, 1e-9, mistake=1), mistakes={index: np.array([[v, u]], dtype=np.float32)})
    rng = np.random.default_rng(0)
    for zoom in ((1.0, 1.0), (0.8, 1.4)):
        sampler = Crops(frames, 16, how, (), zoom)
        assert all((sampler.draw(rng)[1] == 2).any() for _ in range(30))


def test_folders_get_their_shares(frames):
    """A named folder gets its share of the draws however few its frames are, the others the rest, frame by frame."""
    names = np.array([frame.folder for frame in frames.items])
    odds = folder_odds(frames, np.arange(len(frames)), {"validation": 0.75})
    assert odds[names == "validation"].sum() == pytest.approx(0.75)
    assert np.ptp(odds[names == "train"]) == pytest.approx(0)
    only = folder_odds(frames, np.flatnonzero(names == "train"), {"validation": 0.75})
    assert only.sum() == pytest.approx(1)


def test_crops_are_native_pixels(data):
    """Without augmentation a crop is a window of the frame, pixel for pixel."""
    frames = open_frames([data / "validation"])
    sampler = Crops(frames, 48, Draw())
    originals = [read_frame(frame)[0] for frame in frames.items]
    crop, _ = sampler.draw(np.random.default_rng(4))
    windows = [image[y : y + 48, x : x + 48] for image in originals for y in range(17) for x in range(17)]
    assert any(np.array_equal(crop, window) for window in windows)


def test_a_pool_without_frames_is_never_drawn_from(tmp_path, write_run):
    """Data without any target still gives crops, of the other kinds."""
    write_run(tmp_path / "set", "1_run1", 4, seed=1, target=0)
    frames = open_frames([tmp_path / "set"])
    masks = _batches(Crops(frames, 32, MIXED))[0][1]
    assert set(np.unique(masks)) <= {0, 1}


@pytest.mark.parametrize("shares", [(-0.1, 0.5, 0.6), (0.5, 0.5, 0.0)])
def test_impossible_shares_are_refused(shares):
    """Shares are not negative, and something is left for frames with nobody in them."""
    with pytest.raises(BadInput, match="shares"):
        Shares(*shares)


def test_a_crop_larger_than_the_frame_is_filled_with_black(frames):
    """A small frame is filled up, not stretched."""
    image, mask = Crops(frames, 96, Draw()).draw(np.random.default_rng(0))
    assert image.shape == (96, 96, 3)
    seen = image.any(axis=2)
    assert seen.any(axis=1).sum() == seen.any(axis=0).sum() == 64
    assert not mask[~seen].any()


def test_zoom_enlarges_what_is_cut(frames):
    """Twice as large, the target covers about four times the pixels; half as large, a quarter, each beside black."""
    index = int(np.argmax(frames.target))
    image, mask = frames.read(index)
    for zoom in (0.5, 2.0):
        sampler = Crops(frames, 64, Draw(), (), (zoom, zoom))
        drawn = [sampler.cut(image, mask, 2, np.random.default_rng(seed))[1] for seed in range(12)]
        assert max((each == 2).sum() for each in drawn) == pytest.approx(zoom**2 * frames.target[index], rel=0.3)


def test_frames_are_decoded_once_within_the_limit(frames):
    """What fits in memory is decoded once, what does not is decoded each time, and both read the same."""
    decoded = Counter()

    def decode(index):
        decoded[index] += 1
        return read_frame(frames.items[index])

    image, mask = read_frame(frames.items[0])
    memory = Memory(decode, limit=2 * (image.nbytes + mask.nbytes))
    for _ in range(2):
        for index in range(3):
            assert np.array_equal(memory.read(index)[0], read_frame(frames.items[index])[0])
    assert decoded == {0: 1, 1: 1, 2: 2}


def test_no_frames_are_an_error():
    """There is nothing to draw from an empty index."""
    with pytest.raises(BadDataset, match="no frames"):
        WholeFrames(Frames((), ()), (32, 32), Draw())


def test_a_frame_of_another_shape_is_letterboxed_with_its_mask():
    """Image and mask of a wide frame get the same bars."""
    image = np.full((20, 40, 3), 200, dtype=np.uint8)
    mask = np.ones((20, 40), dtype=np.uint8)
    fitted, classes = fit_sample(image, mask, (32, 32))
    assert fitted.shape == (32, 32, 3)
    assert np.array_equal(classes == 1, fitted[:, :, 0] > 0)
    assert int((classes == 1).sum()) == 32 * 16
