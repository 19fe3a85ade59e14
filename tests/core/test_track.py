"""The tracker: converges, stays consistent, resists decoys, coasts through occlusions, and comes back."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from quadfollow_core import kalman
from quadfollow_core.errors import BadInput
from quadfollow_core.geometry import LARGEST, SMALLEST_FOCAL, Camera, Intrinsics, Pose, bearing
from quadfollow_core.kalman_tracker import KalmanTracker
from quadfollow_core.measure import MAX_DISTANCE, WALKING, Noise, depth_step, measure
from quadfollow_core.pursuit import Patience
from quadfollow_core.request import DepthHeader
from quadfollow_core.track import Look, Track
from quadfollow_core.trackers import TrackBook, make_tracker
from quadfollow_core.types import DistanceSource, Sighting, Target

LENS = Intrinsics.from_fov(256, 256, math.radians(60))
POSE = Pose.from_rpy((0.0, 0.0, 2.4), 0.0, math.radians(20), 0.0)
CAMERA = Camera(LENS, POSE)
RATE = 20.0
STEP = 1 / RATE
EXACT = Noise(body=0.0)
NOBODY = Sighting(None)
Point = Sequence[float]


def chi_square_bounds(freedom: int) -> tuple[float, float]:
    """The central 99.8 % of a chi-square distribution (Wilson and Hilferty 1931; 3.09 sigma)."""
    spread = 2 / (9 * freedom)
    low, high = (freedom * (1 - spread + z * math.sqrt(spread)) ** 3 for z in (-3.09, 3.09))
    return low, high


@dataclass
class Eye:
    """Sees world points through a camera as ``locate`` would, with noise where a generator is given."""

    camera: Camera = CAMERA
    source: DistanceSource | None = "depth"
    dice: np.random.Generator | None = None

    def target(self, point: Point) -> Target:
        """The target that stands around a point."""
        pose = self.camera.pose or POSE
        seen = pose.camera_from_world(point)
        distance = float(np.linalg.norm(seen))
        width, height = 0.5 * LENS.fx / seen[2], 1.6 * LENS.fy / seen[2]
        u, v = LENS.project(seen)
        u += self.error(math.hypot(1.0, 0.05 * width))
        v += self.error(math.hypot(1.0, 0.05 * height))
        distance += self.error(0.1 if self.source == "depth" else 0.15 * distance)
        azimuth, elevation = bearing(LENS.unproject(u, v))
        box = (u - width / 2, v - height / 2, u + width / 2, v + height / 2)
        place = (distance, self.source) if self.source else (None, None)
        return Target((u, v), box, width * height, 0.9, azimuth, elevation, *place)

    def error(self, sigma: float) -> float:
        """A draw of the noise."""
        return 0.0 if self.dice is None else float(self.dice.normal(0, sigma))

    def look(self, time: float, *points: Point) -> Look:
        """A frame that shows the points, the first one largest."""
        targets = tuple(self.target(point) for point in points)
        sighting = Sighting(targets[0], (), targets[1:]) if targets else NOBODY
        return Look(sighting, time, self.camera)


def walk(time: float) -> tuple[float, float, float]:
    """A person who crosses the view at a walk."""
    return (6.0, 1.485 * time - 1.5, 0.8)


def run(tracker: KalmanTracker, looks: Iterable[Look]) -> list[Track]:
    """The track after each look."""
    return [tracker.update(look) for look in looks]


def following(eye: Eye, seconds: float = 1.0) -> tuple[KalmanTracker, float]:
    """A tracker that has followed the walk for a while, and the time of the next frame."""
    tracker = KalmanTracker(noise=EXACT)
    count = round(seconds * RATE)
    tracks = run(tracker, (eye.look(k * STEP, walk(k * STEP)) for k in range(count)))
    assert tracks[-1].state == "following"
    return tracker, count * STEP


def error_of(track: Track, point: Point) -> float:
    """Metres between a track and a point."""
    return float(np.linalg.norm(np.subtract(track.position, point)))


# ---- the filter


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
    eye = Eye(dice=np.random.default_rng(2))
    point = (5.0, 1.0, 0.8)
    measured = [measure(eye.target(point), CAMERA, EXACT) for _ in range(4000)]
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


def test_a_decoy_that_jumps_in_is_refused() -> None:
    """A larger blob elsewhere moves nothing: with the target in view it is passed over, alone it is a miss."""
    tracker, start = following(Eye())
    for k in range(8):
        time = start + k * STEP
        decoy = (6.0, walk(time)[1] + 2.0, 0.8)
        beside = tracker.update(Eye().look(time, decoy, walk(time)))
        assert beside.state == "following"
        assert error_of(beside, walk(time)) < 0.05
    time += STEP
    alone = tracker.update(Eye().look(time, (6.0, -1.0, 0.8)))
    assert alone.state == "coasting"
    assert error_of(alone, walk(time)) < 0.05


def test_it_coasts_through_an_occlusion() -> None:
    """Out of sight for a second, the target is predicted; back in sight, it is confirmed and followed on."""
    tracker, start = following(Eye())
    hidden = run(tracker, (Eye().look(start + k * STEP) for k in range(20)))
    assert {track.state for track in hidden} == {"coasting"}
    assert hidden[-1].age == pytest.approx(1.0)
    assert error_of(hidden[-1], walk(hidden[-1].time)) < 0.15
    assert max(hidden[-1].position_sigma) > 2 * max(hidden[0].position_sigma)
    back = run(tracker, (Eye().look(start + (20 + k) * STEP, walk(start + (20 + k) * STEP)) for k in range(3)))
    assert [track.state for track in back] == ["coasting", "coasting", "following"]
    assert error_of(back[-1], walk(back[-1].time)) < 0.1


def test_a_short_miss_needs_no_confirmation() -> None:
    """After a few frames without it, one sighting within the gate is enough."""
    tracker, start = following(Eye())
    run(tracker, (Eye().look(start + k * STEP) for k in range(4)))
    assert tracker.update(Eye().look(start + 4 * STEP, walk(start + 4 * STEP))).state == "following"


def test_a_false_blob_during_an_occlusion_moves_nothing() -> None:
    """A single sighting within the grown gate is not taken for the target that hides."""
    tracker, start = following(Eye())
    run(tracker, (Eye().look(start + k * STEP) for k in range(19)))
    time = start + 19 * STEP
    blip = tracker.update(Eye().look(time, np.add(walk(time), (0.0, -0.8, 0.0)).tolist()))
    assert blip.state == "coasting"
    assert error_of(blip, walk(time)) < 0.15


@pytest.mark.parametrize("place", [(4.0, -1.5, 0.8), (9.0, 3.0, 0.8)])
def test_it_is_found_again_elsewhere(place: tuple[float, float, float]) -> None:
    """Lost, the target is followed wherever it turns up for 0.3 s, and the count of its sightings goes on."""
    tracker, start = following(Eye())
    lost = run(tracker, (Eye().look(start + k * STEP) for k in range(60)))[-1]
    assert lost.state == "lost"
    again = run(tracker, (Eye().look(lost.time + (k + 1) * STEP, place) for k in range(6)))
    found = [track.state for track in again].index("following")
    assert 3 <= found <= 5
    assert error_of(again[-1], place) < 0.05
    assert again[found].updates == lost.updates + found + 1


def test_a_person_who_stays_elsewhere_is_taken_over_only_when_the_target_is_lost() -> None:
    """A decoy far away waits until the target is lost, then becomes what is followed."""
    tracker, start = following(Eye())
    decoy = (25.0, 9.0, 0.8)
    tracks = run(tracker, (Eye().look(start + k * STEP, decoy) for k in range(60)))
    taken = next(k for k, track in enumerate(tracks) if track.state == "following")
    assert taken * STEP >= Patience().coast_for


def flickering(tracker: KalmanTracker, start: float, decoy: Point, seconds: float, *, hidden: bool = False) -> Track:
    """Follow on beside somebody dressed nearly alike, who is taken for the target in two frames of five."""
    dice = np.random.default_rng(5)
    track = None
    for k in range(round(seconds * RATE)):
        time = start + k * STEP
        wrong = [Eye().target(decoy)] if dice.random() < 0.4 else []
        right = [] if hidden else [Eye().target(walk(time))]
        targets = tuple([replace(one, confidence=0.7) for one in wrong] + right)
        sighting = Sighting(targets[0], (), targets[1:]) if targets else NOBODY
        track = tracker.update(Look(sighting, time, CAMERA))
    assert track is not None
    return track


def test_the_wrong_person_is_left_for_the_right_one() -> None:
    """Begun with somebody who is seldom taken for the target, the pursuit changes over within two seconds."""
    tracker, decoy = KalmanTracker(noise=EXACT), (8.0, 2.5, 0.8)
    begun = run(tracker, (Eye().look(k * STEP, decoy) for k in range(5)))[-1]
    assert error_of(begun, decoy) < 0.1
    track = flickering(tracker, begun.time + STEP, decoy, 2.0)
    assert track.state == "following"
    assert error_of(track, walk(track.time)) < 0.1


def test_somebody_who_passes_does_not_carry_the_pursuit_away() -> None:
    """Two people meet, and for a while the other one alone is taken for the target: she is coasted past him."""
    tracker, start = following(Eye(), 1.5)
    for k in range(40):
        time = start + k * STEP
        other = (6.3, walk(start)[1] + 1.5 - 1.485 * k * STEP, 0.8)
        points = (walk(time), other) if k < 18 or k >= 26 else (other,)
        track = tracker.update(Eye().look(time, *points))
    assert track.state == "following"
    assert error_of(track, walk(time)) < 0.1


def test_one_odd_sighting_makes_no_second_person() -> None:
    """A sighting of her outside the gate begins a rival who gets none of her later ones, and is forgotten."""
    eye = Eye(dice=np.random.default_rng(3))
    tracker = KalmanTracker()
    run(tracker, (eye.look(k * STEP, walk(k * STEP)) for k in range(20)))
    odd = walk(20 * STEP)[0] + 1.0, walk(20 * STEP)[1], 0.8
    assert tracker.update(eye.look(20 * STEP, odd)).state == "coasting"
    assert len(tracker.rivals) == 1
    tracks = run(tracker, (eye.look(k * STEP, walk(k * STEP)) for k in range(21, 50)))
    assert {track.state for track in tracks} == {"following"}
    assert not tracker.rivals


def test_a_hidden_target_is_not_given_up_for_somebody_less_sure() -> None:
    """For two seconds out of sight she is waited for, though somebody seen beside her is taken for her now and then."""
    tracker, start = following(Eye(), 1.0)
    start = flickering(tracker, start, (8.0, 4.5, 0.8), 1.0).time + STEP
    track = flickering(tracker, start, (8.0, 4.5, 0.8), 1.9, hidden=True)
    assert track.state == "coasting"
    assert error_of(track, walk(track.time)) < 0.3


def test_the_pieces_of_one_person_are_one_person() -> None:
    """Hair and legs apart in the mask make no second person beside her."""
    tracker, start = following(Eye())
    whole = Eye().target(walk(start))
    piece = replace(whole, area=10.0, elevation=(whole.elevation or 0.0) + 0.03)
    tracker.update(Look(Sighting(whole, (), (piece,)), start, CAMERA))
    assert tracker.rivals == ()


# ---- states


S = NOBODY


@pytest.mark.parametrize(
    ("script", "states"),
    [
        ("", ""),
        ("...", "sss"),  # nobody, nothing
        ("x", "s"),  # one sighting confirms nobody
        ("xx.x", "sssf"),  # three of the last five do
        ("x..x.x", "ssssss"),  # three of six do not
        ("x...xxx", "ssssssf"),  # a hopeless start is given up for a new one
        ("xxx.x", "ssfcf"),  # a miss coasts, a hit follows
        ("xxx" + 21 * ".", "ssf" + 20 * "c" + "l"),  # two seconds at ten frames a second
        ("xxx" + 21 * "." + "xxx", "ssf" + 20 * "c" + "lllf"),  # found again by confirmation
        ("xxx" + 101 * ".", "ssf" + 20 * "c" + 80 * "l" + "s"),  # forgotten after ten seconds
    ],
)
def test_states(script: str, states: str) -> None:
    """The table of transitions, ten frames a second: x a sighting, . none; s, f, c, l the state after it."""
    tracker, eye = KalmanTracker(), Eye()
    looks = (eye.look(k / 10, *([(6.0, 0.0, 0.8)] if mark == "x" else [])) for k, mark in enumerate(script))
    assert "".join(track.state[0] for track in run(tracker, looks)) == states


@given(st.text("x.", max_size=60))
def test_the_state_says_what_was_seen(script: str) -> None:
    """Only a frame with a sighting is followed in, and age counts from the last such frame."""
    tracker, eye, last = KalmanTracker(), Eye(), None
    for k, mark in enumerate(script):
        track = tracker.update(eye.look(k / 10, *([(6.0, 0.0, 0.8)] if mark == "x" else [])))
        if track.state == "following":
            assert mark == "x"
            last = k / 10
        assert (track.state == "searching") == (track.age is None) == (not track.position)
        if track.age is not None and last is not None:
            assert track.age == pytest.approx(k / 10 - last)


def test_silence_and_reset_forget() -> None:
    """A stream that pauses for long, is reset, or whose clock is set back starts anew; a late frame changes nothing."""
    for time in (11.0 + 1.0, -5.0):
        tracker, _ = following(Eye())
        assert tracker.update(Eye().look(time, walk(0))).state == "searching"
    tracker, start = following(Eye())
    before = tracker.update(Eye().look(start, walk(start)))
    assert tracker.update(Eye().look(start - STEP, (9.0, 0.0, 0.8))) is before
    tracker.reset()
    assert tracker.update(Eye().look(start + STEP, walk(start))).state == "searching"


def test_a_slow_stream_is_followed_too() -> None:
    """One frame a second is enough to follow, to coast and to go on."""
    tracker = KalmanTracker()
    looks = [Eye().look(float(k), *([] if k == 5 else [(6.0, 0.2 * k, 0.8)])) for k in range(8)]
    assert "".join(track.state[0] for track in run(tracker, looks)) == "ssfffcff"


@pytest.mark.parametrize("bad", [(0, 5), (6, 5)])
def test_impatience_is_refused(bad: tuple[int, int]) -> None:
    """A rule that cannot be met is refused, as are times out of order."""
    with pytest.raises(BadInput):
        Patience(confirm=bad)
    with pytest.raises(BadInput):
        Patience(coast_for=0.1)


# ---- less than everything known


def test_without_a_pose_it_tracks_bearings() -> None:
    """In bearing space a turning target is followed with its rate, and the distance is filtered beside it."""
    tracker, eye = KalmanTracker(noise=EXACT), Eye(Camera(LENS), dice=np.random.default_rng(3))
    for k in range(40):
        angle = 0.2 * k * STEP
        point = POSE.world_from_camera((5 * math.sin(angle), 0.0, 5 * math.cos(angle)))
        track = tracker.update(eye.look(k * STEP, point.tolist()))
    assert track.space == "bearing"
    assert track.position == pytest.approx((angle, 0.0), abs=3 * max(track.position_sigma))
    assert track.velocity[0] == pytest.approx(0.2, abs=3 * track.velocity_sigma[0])
    assert track.distance == pytest.approx(5.0, abs=0.3)
    assert track.world is None


def test_without_a_camera_it_tracks_pixels() -> None:
    """Without intrinsics the track stays in the picture, in pixels, and knows no distance."""
    tracker = KalmanTracker()
    for k in range(20):
        target = replace(Eye().target(walk(0)), centroid=(100 + 4.0 * k, 120.0), azimuth=None, elevation=None)
        track = tracker.update(Look(Sighting(replace(target, distance=None, distance_source=None)), k * STEP))
    assert (track.space, track.state, track.distance) == ("pixel", "following", None)
    assert track.position == pytest.approx((176.0, 120.0), abs=2)
    assert track.velocity == pytest.approx((80.0, 0.0), abs=8)


def test_a_frame_without_distance_still_guides() -> None:
    """With the target cut by the frame and no depth, its bearing keeps the track going sideways."""
    tracker, start = following(Eye())
    for k in range(40):
        time = start + k * STEP
        track = tracker.update(Eye(source=None).look(time, walk(time)))
    assert track.state == "following"
    assert error_of(track, walk(time)) < 0.3


def test_some_frames_without_pose_do_not_end_a_track() -> None:
    """A frame that tells no pose is a miss, not a new start."""
    tracker, start = following(Eye())
    assert tracker.update(Eye(Camera(LENS)).look(start, walk(start))).state == "coasting"
    assert tracker.update(Eye().look(start + STEP, walk(start + STEP))).state == "following"


# ---- any input

number = st.floats(allow_nan=False, allow_infinity=False)
positive = st.floats(1e-300, 1e300)
coordinate = st.floats(-LARGEST, LARGEST)
focal = st.floats(SMALLEST_FOCAL, LARGEST)


@st.composite
def any_look(draw: st.DrawFn) -> Look:
    """A frame of arbitrary finite numbers."""
    left, top, width, height = draw(number), draw(number), draw(positive), draw(positive)
    box = (left, top, left + width, top + height)
    valid = all(map(math.isfinite, box)) and box[2] > box[0] and box[3] > box[1]
    source: DistanceSource | None = draw(st.sampled_from(["depth", "height", None]))
    target = Target(
        (draw(number), draw(number)),
        box if valid else (0.0, 0.0, 1.0, 1.0),
        draw(positive),
        draw(st.floats(0, 1)),
        draw(number),
        draw(number),
        None if source is None else draw(number),
        source,
    )
    lens = Intrinsics(draw(focal), draw(focal), 0.0, 0.0)
    pose = draw(
        st.none() | st.builds(Pose, st.tuples(coordinate, coordinate, coordinate), st.just((0.0, 0.0, 0.0, 1.0)))
    )
    camera = draw(st.none() | st.just(Camera(lens, pose)))
    return Look(Sighting(draw(st.none() | st.just(target))), draw(number | st.floats(0, 10)), camera)


@settings(max_examples=100)
@given(st.lists(any_look(), max_size=8), st.sampled_from(["kalman", "centroid"]))
def test_finite_looks_give_finite_tracks(looks: list[Look], name: str) -> None:
    """Whatever finite numbers come, the track is one that JSON can carry."""
    tracker = make_tracker(name)
    for look in looks:
        track = tracker.update(look)
        json.dumps(track.as_dict(), allow_nan=False)


@given(st.floats(1e-3, MAX_DISTANCE - 1), st.floats(-1.5, 1.5), st.floats(-1.5, 1.5), st.floats(1.0, 1e5))
@example(1.0, 0.0, 0.0, 1.0)
def test_covariances_stay_proper(distance: float, azimuth: float, elevation: float, focal: float) -> None:
    """After many looks at one place the covariance is still positive definite."""
    target = Target((0, 0), (0, 0, 5, 9), 45, 0.9, azimuth, elevation, distance, "depth")
    tracker = KalmanTracker()
    run(tracker, (Look(Sighting(target), k * STEP, Camera(Intrinsics(focal, focal, 0, 0), POSE)) for k in range(30)))
    assert tracker.pursued is not None
    assert np.all(np.linalg.eigvalsh(tracker.pursued.belief.covariance) > 0)


@pytest.mark.parametrize(("time", "step"), [(math.nan, 0.0), (math.inf, 0.0), (0.0, -1.0), (0.0, math.nan)])
def test_looks_are_checked(time: float, step: float) -> None:
    """A look needs a finite time and step."""
    with pytest.raises(BadInput):
        Look(NOBODY, time, depth_step=step)


# ---- the value


def test_a_track_survives_json() -> None:
    """What the reply carries is the track, to five decimals; unknown keys are ignored."""
    tracker, start = following(Eye(dice=np.random.default_rng(4)))
    track = tracker.update(Eye().look(start, walk(start)))
    again = Track.from_dict(json.loads(json.dumps(track.as_dict())) | {"unknown": 1})
    assert again.position == pytest.approx(track.position, abs=1e-5)
    assert Track.from_dict(again.as_dict()) == again
    assert again.world == pytest.approx(track.position, abs=1e-5)
    nobody = Track("searching", 1.5)
    assert Track.from_dict(nobody.as_dict()) == nobody


def test_a_track_looks_ahead() -> None:
    """Extrapolated, it moves at its velocity, grows older and less certain, and its state stays."""
    tracker, start = following(Eye())
    track = tracker.update(Eye().look(start, walk(start)))
    ahead = track.after(0.5)
    assert error_of(ahead, walk(start + 0.5)) < 0.05
    assert (ahead.age, ahead.time, ahead.state) == (0.5, start + 0.5, "following")
    assert max(ahead.position_sigma) > max(track.position_sigma)


@pytest.mark.parametrize(
    "data",
    [
        {"state": "flying", "time": 0.0},
        {"state": "searching", "time": 0.0, "space": "sea"},
        {"state": "following", "time": 0.0, "space": "world", "position": [1.0, 2.0]},
        {"state": "searching", "time": math.nan},
        {"state": "searching", "time": "now"},
        {"state": "searching"},
        {"time": 1.0, "state": "searching", "position": 4},
    ],
)
def test_what_is_not_a_track_is_refused(data: dict[str, object]) -> None:
    """A track of another form is refused with a reason."""
    with pytest.raises(BadInput):
        Track.from_dict(data)


# ---- the baseline, and streams


def test_the_old_rule_loses_after_seven_frames() -> None:
    """The baseline follows each frame with more than 10 pixels and is lost after 7 frames without."""
    tracker, eye = make_tracker("centroid"), Eye()
    states = [tracker.update(eye.look(k / 5, *([walk(0)] if k == 2 else []))).state[0] for k in range(11)]
    assert "".join(states) == "ssfccccccll"
    small = replace(eye.target(walk(0)), area=10.0)
    assert make_tracker("centroid").update(Look(Sighting(small), 0.0, CAMERA)).state == "searching"


def test_the_old_rule_follows_a_decoy() -> None:
    """The baseline has no gate: this is what the filter is for."""
    tracker = make_tracker("centroid")
    for k in range(20):
        tracker.update(Eye().look(k * STEP, walk(k * STEP)))
    decoy = (12.0, 3.0, 0.8)
    track = tracker.update(Eye().look(1.0, decoy))
    assert track.world == pytest.approx(decoy)


def test_trackers_have_names() -> None:
    """An unknown tracker is refused by name."""
    with pytest.raises(BadInput, match="kalman or centroid"):
        make_tracker("magic")
    with pytest.raises(BadInput):
        TrackBook("magic")


def test_streams_do_not_mix() -> None:
    """Each key has its own track; a silent one is forgotten, and so is the oldest when there are too many."""
    book = TrackBook(silence=5.0, most=2)
    for k in range(5):
        one = book.update("one", Eye().look(k * STEP, walk(0)), now=k * STEP)
        two = book.update("two", Eye().look(k * STEP), now=k * STEP)
    assert (one.state, two.state) == ("following", "searching")
    book.update("two", Eye().look(1.0), now=6.0)
    assert len(book) == 1
    book.update("three", Eye().look(1.0), now=6.0)
    book.update("four", Eye().look(1.0), now=6.0)
    assert len(book) == 2


def test_a_stream_can_be_reset() -> None:
    """A reset stream starts anew; resetting an unknown one is no fault."""
    book = TrackBook()
    for k in range(5):
        book.update("one", Eye().look(k * STEP, walk(0)), now=0.0)
    book.reset("one")
    book.reset("nobody")
    assert book.update("one", Eye().look(5 * STEP, walk(0)), now=0.0).state == "searching"
