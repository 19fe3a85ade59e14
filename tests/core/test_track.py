"""What the tracker says: its states, its spaces and its tracks."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.core.eye import CAMERA, EXACT, LENS, NOBODY, POSE, STEP, Eye, error_of, following, run, walk

from quadfollow_core.errors import BadInput
from quadfollow_core.geometry import LARGEST, SMALLEST_FOCAL, Camera, Intrinsics, Pose
from quadfollow_core.kalman_tracker import KalmanTracker
from quadfollow_core.measure import MAX_DISTANCE
from quadfollow_core.track import MAX_TIME, Look, Track
from quadfollow_core.trackers import make_tracker
from quadfollow_core.types import DistanceSource, Sighting, Target

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

PEOPLE = [Eye(camera).look(0.3, walk(0.3)) for camera in (CAMERA, Camera(LENS))]
"""Looks at the walk, with and without a pose."""
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
    time = draw(st.floats(-MAX_TIME, MAX_TIME) | st.floats(0, 10))
    return Look(Sighting(draw(st.none() | st.just(target))), time, camera)


pause = st.none() | st.floats(0, 0.5)
"""Seconds after the last frame; None for whatever time the frame bears."""


@pytest.mark.parametrize("name", ["kalman", "centroid"])
def test_finite_looks_give_finite_tracks(name: str) -> None:
    """Whatever finite numbers come after a person who is followed, the track is one that JSON can carry."""
    states = Counter[str]()

    @settings(max_examples=100)
    @given(st.lists(st.tuples(any_look() | st.sampled_from(PEOPLE), pause), max_size=8))
    def look_on(script: list[tuple[Look, float | None]]) -> None:
        tracker = make_tracker(name)
        track = [tracker.update(Eye().look(k * STEP, walk(k * STEP))) for k in range(5)][-1]
        assert track.state == "following"
        for look, seconds in script:
            time = look.time if seconds is None else track.time + seconds
            track = tracker.update(replace(look, time=time))
            json.dumps(track.as_dict(), allow_nan=False)
            states[track.state] += 1

    look_on()
    assert min(states["following"], states["coasting"]) > 0


@pytest.mark.parametrize("name", ["kalman", "centroid"])
def test_times_as_far_apart_as_can_be_give_finite_tracks(name: str) -> None:
    """Somebody followed at the earliest time is out of sight at the latest; beyond these there is no look."""
    tracker, eye = make_tracker(name), Eye()
    for time in (-MAX_TIME, MAX_TIME):
        json.dumps(tracker.update(eye.look(time, *([walk(0)] if time < 0 else []))).as_dict(), allow_nan=False)
        with pytest.raises(BadInput, match="time within"):
            eye.look(2 * time)


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


# ---- the baseline


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
