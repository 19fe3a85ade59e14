"""Checks on the real QuadSim recordings, where they are present."""

from __future__ import annotations

import numpy as np
import pytest

from quadfollow_core.official_frames import read_manifest
from quadfollow_training.frames import open_frames, read_frame
from quadfollow_training.holdout import split
from quadfollow_training.manifest import FOLDERS, compare, hash_files
from quadfollow_training.prepare import statistics
from quadfollow_training.recipes import FOLLOW_256, RECIPES

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def official(quadsim):
    """The official training set, checked."""
    return open_frames([quadsim / "train"])


def test_the_training_set_has_its_published_statistics(official):
    """4,131 frames, the target in 37.6 % of them with a median of 57 px, and the published class shares."""
    report = statistics(official)
    seen = official.target[official.target > 0]
    assert report["frames"] == 4131
    assert len(seen) / 4131 == pytest.approx(0.376, abs=0.0005)
    assert np.median(seen) == 57
    shares = [100 * share for share in report["class_shares"].values()]
    assert shares == pytest.approx([98.22, 1.52, 0.27], abs=0.01)


def test_a_real_frame_decodes(official):
    """Frames are 256 by 256 with classes that the index counted."""
    index = int(np.argmax(official.target))
    image, mask = read_frame(official.items[index])
    assert (image.shape, mask.shape) == ((256, 256, 3), (256, 256))
    assert int((mask == 2).sum()) == official.target[index]


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES.keys())
def test_held_out_runs_show_every_kind_of_frame(quadsim, recipe):
    """The runs held out have near targets, far ones and none, and are a small part of the data."""
    frames = open_frames([quadsim], recipe.folders)
    learn, held_out = split(frames, recipe)
    far = (held_out.target > 3) & (held_out.target < 200)
    assert min((held_out.target >= 200).sum(), far.sum(), (held_out.target <= 3).sum()) > 40
    assert len(held_out) < 0.12 * len(frames)
    assert recipe is not FOLLOW_256 or len(learn) > 9000


@pytest.mark.slow
def test_the_manifest_is_that_of_the_recordings(quadsim):
    """Every official file is present with the hash in the manifest."""
    assert compare(read_manifest(), hash_files(quadsim, FOLDERS)) == []
