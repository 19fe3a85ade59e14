"""With the truth itself as the network's answer, what is reported is the error of the geometry alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from tests.sim_bridge.unhurried import ClientInStep

from quadfollow_core.locate import Rule, Segmentation, locate
from quadfollow_core.request import FrameRequest, Result
from quadfollow_core.resize import TARGET, Letterbox
from quadfollow_sim.bridge import fly
from quadfollow_sim.report import summarise
from quadfollow_sim.walk import SIZE
from quadfollow_sim.world import Observation, ScriptedSource

Answer = Callable[[FrameRequest], Result]


def knowing(walk: list[Observation], *, mirrored: bool = False) -> Answer:
    """An answer that knows each frame's truth by its bytes; mirrored, it gets left and right wrong."""
    truths = {bytes(seen.image): seen.truth for seen in walk if seen.truth is not None}

    def answer(request: FrameRequest) -> Result:
        classes = truths[bytes(request.image)][:, :: -1 if mirrored else 1]
        probability = np.where(classes == TARGET, 255, 0).astype(np.uint8)
        seen = Segmentation(classes, probability, Letterbox(1, 1, 0, 0), (SIZE, SIZE))
        found = locate(seen, Rule(), request.camera, request.decode_depth())
        body = {"type": "result", "id": request.id, "frame": {"width": SIZE, "height": SIZE}}
        return Result(body | found.as_dict())

    return answer


def truth_of(walk: list[Observation], client: ClientInStep) -> dict[str, Any]:
    """What the report says about the truth, after a flight six times as fast as the walk."""
    with client:
        truth: dict[str, Any] = summarise(fly(ScriptedSource(walk, 24.0), client))["truth"]
    assert truth["frames"] == len(walk)
    assert truth["with_target"] > 15
    return truth


def test_the_truth_as_answer_is_right(walk: list[Observation], start_peer: Any, in_step: Any) -> None:
    """Every target is found and none falsely; from her height alone she is placed within half a metre."""
    blindfold = [replace(seen, depth=None) for seen in walk]
    truth = truth_of(blindfold, in_step(start_peer(knowing(walk)).address))
    assert truth["detection_rate"] == 1.0
    assert truth["false_detections"] == 0
    assert truth["centroid_error_px"]["median"] < 0.5, truth
    assert truth["position_error_m"]["median"] < 0.45, truth


def test_depth_places_her_within_centimetres(walk: list[Observation], start_peer: Any, in_step: Any) -> None:
    """With measured depth the median error over ground is below 12 cm."""
    truth = truth_of(walk, in_step(start_peer(knowing(walk)).address))
    assert set(truth["distance_source"]) == {"depth"}
    assert truth["position_error_m"]["median"] < 0.12, truth


def test_a_mirrored_answer_puts_her_on_the_wrong_side(walk: list[Observation], start_peer: Any, in_step: Any) -> None:
    """The negative control: left and right swapped, she is found but far off."""
    blindfold = [replace(seen, depth=None) for seen in walk]
    truth = truth_of(blindfold, in_step(start_peer(knowing(walk, mirrored=True)).address))
    assert truth["detection_rate"] == 1.0
    assert truth["centroid_error_px"]["median"] > 5, truth
    assert truth["centroid_error_px"]["p95"] > 20, truth
