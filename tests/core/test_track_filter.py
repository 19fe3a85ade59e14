"""The tracker's filter: Bayes' rule, the geometry's noise, and how near it comes."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.eye import CAMERA, EXACT, LENS, POSE, STEP, Eye, error_of, run, walk

from quadfollow_core import kalman
from quadfollow_core.geometry import Camera, Pose
from quadfollow_core.kalman_tracker import KalmanTracker
from quadfollow_core.measure import WALKING, Noise, depth_step, measure
from quadfollow_core.request import DepthHeader
from quadfollow_core.trackers import make_tracker
from quadfollow_core.types import DistanceSource


def chi_square_bounds(freedom: int) -> tuple[float, float]:
    """The central 99.8 % of a chi-square distribution (Wilson and Hilferty 1931; 3.09 sigma)."""
    spread = 2 / (9 * freedom)
    low, high = (freedom * (1 - spread + z * math.sqrt(spread)) ** 3 for z in (-3.09, 3.09))
    return low, high


@given(st.floats(0, 2), st.floats(0, 2))
def test_prediction_does_not_depend_on_its_steps(first: float, second: float) -> None:
    """Predicting twice is predicting once by the sum."""
    start = kalman.begin(np.array([1.0, 2.0, 3.0]), np.eye(3), np.array([1.0, 2.0, 0.5]))
    start = kalman.update(kalman.predict(start, 0.3, WALKING.agility), np.array([1.5, 2.0, 3.0]), np.eye(3))
    twice = kalman.predict(kalman.predict(start, first, WALKING.agility), second, WALKING.agility)
    once = kalman.predict(start, first + second, WALKING.agility)
    assert twice.mean == pytest.approx(once.mean)
    assert twice.covariance == pytest.approx(once.covariance)


def test_an_update_is_bayes_rule() -> None:
    """In one dimension, without motion, the update is the precision-weighted mean."""
    start = kalman.begin(np.array([0.0]), np.array([[4.0]]), np.array([1.0]))
    after = kalman.update(start, np.array([10.0]), np.array([[1.0]]))
    assert after.position[0] == pytest.approx(8.0)
    assert after.sigma[0] ** 2 == pytest.approx(0.8)


def test_the_filter_is_consistent() -> None:
    """The normalised estimation error squared over 50 seeded walks lies within its chi-square bounds.

    Walks and measurements are drawn from the filter's own model; the test is that of Bar-Shalom et al., 5.4.2.
    """
    dice, runs, steps = np.random.default_rng(1), 50, 60
    square_root = np.linalg.cholesky(
        np.kron([[STEP**3 / 3, STEP**2 / 2], [STEP**2 / 2, STEP]], np.diag(WALKING.agility))
    )
    transition = np.kron([[1, STEP], [0, 1]], np.eye(3))
    noise = np.diag([0.01, 0.02, 0.03])
    total = np.zeros(steps)
    for _ in range(runs):
        truth = np.concatenate([dice.normal(0, 5, 3), dice.normal(0, 1, 3) * WALKING.speed])
        belief = kalman.begin(dice.multivariate_normal(truth[:3], noise), noise, WALKING.speed)
        for step in range(steps):
            truth = transition @ truth + square_root @ dice.normal(size=6)
            belief = kalman.predict(belief, STEP, WALKING.agility)
            belief = kalman.update(belief, dice.multivariate_normal(truth[:3], noise), noise)
            error = truth - belief.mean
            total[step] += error @ np.linalg.solve(belief.covariance, error)
    low, high = chi_square_bounds(6 * runs)
    assert np.all((total[10::10] > low) & (total[10::10] < high)), total[10::10] / runs
    assert np.mean(total) / runs == pytest.approx(6, rel=0.1)


# ---- what a frame measures


@given(st.floats(2, 40), st.floats(-0.4, 0.4), st.floats(-0.4, 0.4))
def test_a_measurement_is_where_the_target_is(distance: float, across: float, down: float) -> None:
    """Without noise the measured position is the point looked at, in every space."""
    point = POSE.world_from_camera(np.array([across, down, 1.0]) * distance)
    target = Eye().target(point.tolist())
    world = measure(target, CAMERA, EXACT)
    assert world is not None
    assert world.position == pytest.approx(point)
    in_bearing = measure(target, Camera(LENS), EXACT)
    assert in_bearing is not None
    assert in_bearing.position.tolist() == [target.azimuth, target.elevation]
    in_pixels = measure(target, None, EXACT)
    assert in_pixels is not None
    assert in_pixels.position.tolist() == list(target.centroid)


def test_the_noise_is_that_of_the_geometry() -> None:
    """The covariance of many noisy looks at one point is the one that is claimed for each."""
    eye, whole = Eye(dice=np.random.default_rng(2)), replace(EXACT, hidden=0.0)
    point = (5.0, 1.0, 0.8)
    measured = [measure(eye.target(point), CAMERA, whole) for _ in range(4000)]
    errors = np.array([m.position - point for m in measured if m is not None])
    claimed = measured[0].noise if measured[0] is not None else np.eye(3)
    assert np.cov(errors.T) == pytest.approx(claimed, rel=0.15, abs=4e-4)


def test_a_coarse_depth_is_trusted_less() -> None:
    """Half of QuadSim's depth step of 0.39 m counts as noise along the ray; a step of nothing adds none."""
    target = Eye(Camera(LENS, Pose.from_rpy((0, 0, 0), 0, 0, 0))).target((5.0, 0.0, 0.0))
    camera = Camera(LENS, Pose.from_rpy((0, 0, 0), 0, 0, 0))
    fine, coarse = measure(target, camera, EXACT), measure(target, camera, EXACT, step=0.392)
    assert fine is not None
    assert coarse is not None
    assert coarse.noise[0, 0] - fine.noise[0, 0] == pytest.approx(0.196**2)


def test_the_depth_step_is_the_headers_scale() -> None:
    """Whole numbers have a step of one unit; floats and no depth have none."""
    assert depth_step(DepthHeader("png", 100 / 255)) == pytest.approx(0.392, abs=1e-3)
    assert depth_step(DepthHeader("raw-f32", 1.0, size=(2, 2))) == 0
    assert depth_step(None) == 0


def test_depth_meets_the_surface_and_the_track_the_middle() -> None:
    """The middle of the body lies behind the surface that depth measured."""
    target = Eye().target(walk(0))
    plain, shifted = measure(target, CAMERA, EXACT), measure(target, CAMERA, Noise(body=0.1))
    assert plain is not None
    assert shifted is not None
    assert np.linalg.norm(shifted.position - plain.position) == pytest.approx(0.1)
    assert (shifted.distance or 0) > (plain.distance or 0)


# ---- following


@pytest.mark.parametrize("source", ["depth", "height"])
def test_at_constant_velocity_the_error_falls_below_sigma(source: DistanceSource) -> None:
    """Following a steady walk, the mean error of 30 seeded runs stays within what the track claims."""
    excess = []
    for seed in range(30):
        tracker = KalmanTracker(noise=EXACT)
        eye = Eye(source=source, dice=np.random.default_rng(seed))
        track = run(tracker, (eye.look(k * STEP, walk(k * STEP)) for k in range(40)))[-1]
        errors = np.subtract([*track.position, *track.velocity], [*walk(39 * STEP), 0, 1.485, 0])
        excess.append(np.square(errors / [*track.position_sigma, *track.velocity_sigma]).mean())
        assert track.distance_source == source
    assert np.mean(excess) < 1, f"mean squared error is {np.mean(excess):.2f} of the variance claimed"


def test_it_is_better_than_each_measurement() -> None:
    """The track's median error is well below that of the baseline, which believes each frame."""
    errors: dict[str, list[float]] = {"kalman": [], "centroid": []}
    for name, found in errors.items():
        eye, tracker = Eye(source="height", dice=np.random.default_rng(7)), make_tracker(name)
        for k in range(200):
            time = k * STEP
            point = (8.0, 3 * math.sin(0.5 * time), 0.8)
            track = tracker.update(eye.look(time, point))
            if k > 20:
                found.append(error_of(track, point))
    assert np.median(errors["kalman"]) < 0.6 * np.median(errors["centroid"])


@given(st.lists(st.floats(0.01, 0.4), min_size=30, max_size=30))
def test_frames_may_come_when_they_come(gaps: list[float]) -> None:
    """However irregular the frames, an exactly seen steady walk is followed."""
    tracker, times = KalmanTracker(noise=EXACT), np.cumsum(gaps)
    for time in times:
        track = tracker.update(Eye().look(float(time), walk(float(time) / 4)))
    assert track.state == "following"
    assert error_of(track, walk(float(times[-1]) / 4)) < 0.1
