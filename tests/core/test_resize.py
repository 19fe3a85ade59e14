"""Frames and masks change size in one place, and positions come back to where they were."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quadfollow_core.resize import (
    TARGET,
    channels_from_classes,
    classes_from_channels,
    fit_channels,
    fit_frame,
    plan_fit,
    without_bars,
)

side = st.integers(1, 2000)


@given(side, side, st.floats(0, 1), st.floats(0, 1))
def test_positions_round_trip(width: int, height: int, share_u: float, share_v: float) -> None:
    """A position taken to the model and back is where it was, whatever the frame's shape."""
    letterbox, _ = plan_fit((width, height), (256, 160))
    u, v = share_u * width, share_v * height
    assert letterbox.to_frame(*letterbox.to_model(u, v)) == pytest.approx((u, v), abs=1e-6)


@given(side, side)
def test_the_whole_frame_lies_inside_the_model(width: int, height: int) -> None:
    """The covered rectangle lies within the model's input and touches it on one pair of sides."""
    _, (left, top, inner_width, inner_height) = plan_fit((width, height), (256, 160))
    assert left >= 0
    assert top >= 0
    assert left + inner_width <= 256
    assert top + inner_height <= 160
    assert inner_width == 256 or inner_height == 160


def test_a_frame_of_the_models_size_is_untouched() -> None:
    """No pixel changes when the sizes already agree."""
    frame = np.random.default_rng(0).integers(0, 255, (160, 160, 3), dtype=np.uint8)
    fitted, letterbox = fit_frame(frame, (160, 160))
    assert fitted is frame
    assert letterbox.to_frame(3.5, 4.5) == (3.5, 4.5)


def test_a_wide_frame_is_letterboxed_with_its_content_in_place() -> None:
    """A dot in a 640 x 320 frame turns up in the 160 x 160 input where the transform says."""
    frame = np.full((320, 640, 3), 10, np.uint8)
    frame[100:108, 400:408] = 250
    fitted, letterbox = fit_frame(frame, (160, 160))
    rows, columns = np.nonzero(fitted[:, :, 0] > 200)
    assert letterbox.to_frame(columns.mean() + 0.5, rows.mean() + 0.5) == pytest.approx((404, 104), abs=1)
    assert fitted[:40].max() == 0
    assert fitted[-40:].max() == 0


def test_the_bars_are_cut_from_a_prediction() -> None:
    """What is left of a letterboxed input is the frame's part alone, and all of one without bars."""
    fitted, _ = fit_frame(np.full((320, 640, 3), 200, np.uint8), (160, 160))
    assert without_bars(fitted > 0, (320, 640, 3), (160, 160)).shape == (80, 160, 3)
    assert without_bars(fitted > 0, (320, 640, 3), (160, 160)).all()
    assert without_bars(fitted > 0, (50, 50, 3), (160, 160)).shape == fitted.shape


def test_masks_follow_the_official_rounding() -> None:
    """Halving keeps a pixel where at least half its width and half its height are covered, each pass rounded."""
    channels = np.zeros((8, 8, 3), bool)
    channels[2:4, 2:4, TARGET] = True  # exactly one pixel of the half size
    channels[6:7, 6:7, TARGET] = True  # a quarter of one
    fitted = fit_channels(channels, (4, 4))
    assert fitted[:, :, TARGET].sum() == 1
    assert fitted[1, 1, TARGET]
    assert fit_channels(channels, (8, 8)) is channels


def test_target_wins_over_person_over_background() -> None:
    """Pixels with two classes take the rarer one, pixels with none are background."""
    channels = np.array([[[1, 1, 1], [1, 1, 0], [0, 0, 0]]], bool)
    assert classes_from_channels(channels).tolist() == [[2, 1, 0]]


def test_channels_and_classes_are_inverse() -> None:
    """A class mask survives the way through channels."""
    mask = np.random.default_rng(0).integers(0, 3, (9, 7), dtype=np.uint8)
    assert np.array_equal(classes_from_channels(channels_from_classes(mask)), mask)
