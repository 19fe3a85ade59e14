"""Whom the tracker follows: through decoys, occlusions and people dressed alike."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.core.eye import CAMERA, EXACT, NOBODY, RATE, STEP, Eye, Point, error_of, following, run, walk

from quadfollow_core.kalman_tracker import KalmanTracker
from quadfollow_core.pursuit import COAST_FOR
from quadfollow_core.track import Look, Track
from quadfollow_core.types import Sighting, Target


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
    assert taken * STEP >= COAST_FOR


def test_who_comes_out_of_leaves_is_followed_on() -> None:
    """Leaves hide first her head, then her legs, so that what is seen of her rises; then she stands there whole."""
    tracker, start = following(Eye())
    for k in range(33):
        time = start + k * STEP
        x, y, z = walk(time)
        rise = -0.3 + 0.07 * k if k < 13 else 0.0
        track = tracker.update(Eye().look(time, (x, y, z + rise)))
        assert track.state == "following", k
    assert error_of(track, walk(time)) < 0.15


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


@pytest.mark.parametrize("blended", [4, 6, 8])
def test_who_drags_the_pursuit_off_does_not_keep_it(blended: int) -> None:
    """Her blob runs into that of a man she meets, and patches of him are taken for her: she is the one seen whole."""
    tracker, start = following(Eye(), 1.5)
    for k in range(blended + 16):
        time = start + k * STEP
        him = np.array((5.8, walk(start)[1] + 0.2 - 1.485 * k * STEP, 0.8))
        patch = Eye().target(him)
        left, top, right, bottom = patch.box
        patch = replace(patch, confidence=0.7, box=(left, top + 10, right, bottom - 20))
        share = min(1.0, (k + 1) / blended)
        if k < blended:
            seen: tuple[Target, ...] = (Eye().target(share * him + (1 - share) * np.array(walk(time))),)
        else:
            seen = (Eye().target(walk(time)), *((patch,) if k % 3 else ()))
        track = tracker.update(Look(Sighting(seen[0], (), seen[1:]), time, CAMERA))
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
