"""What pasting puts into a frame, and which frames it is done to."""

from __future__ import annotations

import numpy as np
import pytest

from quadfollow_training.batches import Crops, Draw, Shares, WholeFrames
from quadfollow_training.frames import open_frames, read_frame
from quadfollow_training.pasting import paste

GROUND, GREEN, RED = (90, 90, 90), (20, 200, 20), (220, 10, 10)


@pytest.fixture
def host():
    """A grey frame with nothing in it."""
    return np.full((64, 64, 3), GROUND, np.uint8), np.zeros((64, 64), np.uint8)


@pytest.fixture
def donor():
    """A green frame with a red target of 6 rows and 3 columns, and a person elsewhere."""
    image, mask = np.full((64, 64, 3), GREEN, np.uint8), np.zeros((64, 64), np.uint8)
    image[30:36, 10:13], mask[30:36, 10:13] = RED, 2
    mask[50:60, 40:44] = 1
    return image, mask


def test_the_piece_is_there_with_its_label_and_nothing_else_is(host, donor):
    """The target's own colours lie where its label does, far from it the host is as it was, and so is the donor."""
    before = [part.copy() for part in (*host, *donor)]
    image, mask = paste(host, donor, 2, np.random.default_rng(0))
    assert ((mask == 2).sum(), (mask == 1).sum()) == (18, 0)
    assert (image[mask == 2] == RED).all()
    untouched = np.ones((64, 64), bool)
    rows, columns = np.nonzero(mask)
    untouched[rows.min() - 1 : rows.max() + 2, max(columns.min() - 1, 0) : columns.max() + 2] = False
    assert (image[untouched] == GROUND).all()
    assert all(np.array_equal(a, b) for a, b in zip(before, (*host, *donor), strict=True))


def test_the_rim_is_half_of_either(host, donor):
    """The pixel around a piece is between both frames' colours, so that no cut is to be seen."""
    image, mask = paste(host, donor, 2, np.random.default_rng(0))
    rows, columns = np.nonzero(mask == 2)
    above = image[rows.min() - 1, columns.min() : columns.max() + 1]
    assert (above == (np.add(GROUND, GREEN) / 2).astype(np.uint8)).all()


def test_it_goes_anywhere_sideways_and_keeps_its_height(host, donor):
    """Further up is further away: rows move by a sixteenth of the frame at most, columns by all of it."""
    rng = np.random.default_rng(0)
    places = [np.argwhere(paste(host, donor, 2, rng)[1] == 2).min(axis=0) for _ in range(200)]
    rows, columns = np.transpose(places)
    assert (rows.min(), rows.max()) == (26, 34)
    assert columns.min() <= 2
    assert columns.max() >= 58


def test_one_of_several_people_is_pasted(host, donor):
    """Pieces that do not touch are people of their own."""
    donor[1][5:8, 5:8] = 1
    sizes = {int((paste(host, donor, 1, np.random.default_rng(seed))[1] == 1).sum()) for seed in range(60)}
    assert sizes == {9, 40}


def test_what_is_drawn_for_a_target_shows_it_in_another_frame(data):
    """Such samples have the target and the rest of a frame without one; none pasted, none do."""
    frames = open_frames([data])
    empty = [read_frame(frames.items[index])[0] for index in np.flatnonzero(frames.target == 0)]

    def elsewhere(pasted):
        rng = np.random.default_rng(0)
        sampler = WholeFrames(frames, (64, 64), Draw(Shares(1, 0, 1e-9), pasted=pasted))
        drawn = [sampler.draw(rng) for _ in range(10)]
        assert all((mask == 2).any() for _, mask in drawn)
        return [
            any(image.shape == other.shape and (image == other).all(axis=2).mean() > 0.5 for other in empty)
            for image, _ in drawn
        ]

    assert all(elsewhere(1.0))
    assert not any(elsewhere(0.0))


def test_pasting_follows_from_the_generator_alone(data):
    """The same generator gives the same crops again."""
    sampler = Crops(open_frames([data]), 32, Draw(Shares(0.5, 0.5, 1e-9), pasted=0.5))

    def crops():
        rng = np.random.default_rng(3)
        return [sampler.draw(rng) for _ in range(8)]

    for one, again in zip(crops(), crops(), strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))
