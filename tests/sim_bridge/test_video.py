"""The film is a readable MP4 with a frame per answer, whatever ends the flight."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from quadfollow_core.codec import encode_png
from quadfollow_core.resize import TARGET, fit_frame
from quadfollow_core.stream_client import Fate
from quadfollow_sim.judge import judge
from quadfollow_sim.video import BAR, VideoWriter
from quadfollow_sim.world import Observation


def answered(number: int, size: tuple[int, int] = (64, 64), *, mask: bool = True) -> tuple[Observation, Fate]:
    """The grey frame of ``(width, height)`` of ``number`` / 20 s and its answer, with a target in its middle."""
    frame = np.full((size[1], size[0], 3), 60, dtype=np.uint8)
    image, letterbox = fit_frame(frame, (64, 64))
    classes = np.zeros(image.shape[:2], dtype=np.uint8)
    classes[24:40, 24:40] = TARGET
    target = {"centroid": [32, 32], "box": [24, 24, 40, 40], "area": 256, "confidence": 0.9}
    body = {"target": target, "frame": {"width": size[0], "height": size[1]}}
    if mask:
        body["mask"] = {"mask_from_frame": asdict(letterbox)}
    return Observation(frame, f"f{number}", number / 20), Fate(
        number, "result", 0.02, body, encode_png(classes) if mask else None
    )


def film(writer: VideoWriter, *shots: tuple[Observation, Fate]) -> None:
    """Hand frames to the writer as the loop does."""
    for observation, fate in shots:
        writer(judge(fate, observation, offered_s=0, lag_ms=0, age_ms=None), observation, fate)


def read_film(path: Path) -> list[NDArray[np.uint8]]:
    """All frames of an MP4, RGB."""
    capture = cv2.VideoCapture(str(path))
    frames = []
    while (read := capture.read())[0]:
        frames.append(read[1][:, :, ::-1])
    capture.release()
    return frames


def test_a_film_has_a_frame_per_answer(tmp_path: Path) -> None:
    """Ten answers make ten readable frames, enlarged by a whole number, with a bar of text below."""
    path = tmp_path / "new" / "film.mp4"
    with VideoWriter(path, 20.0) as writer:
        film(writer, *(answered(number) for number in range(10)))
        assert not path.exists()
    frames = read_film(path)
    assert len(frames) == writer.frames == 10
    assert frames[0].shape == (640 + BAR, 640, 3)
    assert [entry.name for entry in path.parent.iterdir()] == ["film.mp4"]


@pytest.mark.parametrize(
    ("rate", "numbers", "frames"),
    [
        (20.0, (0, 1, 2, 6, 7), 8),  # the third is shown four times
        (20.0, (0, 20_000, 20_001), 202),  # of a long pause as much as LONGEST
        (400.0, (0, 20, 40), 121),  # a film is no faster than FASTEST
        (2.0, tuple(range(40)), 6),  # of too many for the film those are shown that it has room for
    ],
)
def test_a_film_goes_by_as_the_flight_did(tmp_path: Path, rate: float, numbers: tuple[int, ...], frames: int) -> None:
    """Whatever was not answered or not there, each picture is shown at its time."""
    with VideoWriter(tmp_path / "film.mp4", rate) as writer:
        film(writer, *(answered(number, mask=False) for number in numbers))
    assert len(read_film(tmp_path / "film.mp4")) == frames


def test_the_target_is_marked_and_the_text_is_there(tmp_path: Path) -> None:
    """Where the target is, the picture is no longer grey; the bar has white letters on black."""
    with VideoWriter(tmp_path / "film.mp4", 20.0) as writer:
        film(writer, answered(1))
    (frame,) = read_film(tmp_path / "film.mp4")
    inside, outside = frame[290:310, 290:310].astype(int), frame[50:70, 50:70].astype(int)
    assert (inside[:, :, 0] - inside[:, :, 2]).mean() > 40
    assert np.abs(outside - 60).max() < 25
    assert frame[-BAR:].max() > 200


def test_frames_without_answer_are_not_filmed(tmp_path: Path) -> None:
    """Drops leave no frame, and a flight without answers no film."""
    with VideoWriter(tmp_path / "film.mp4", 20.0) as writer:
        film(writer, (answered(1)[0], Fate(1, "dropped", 0.1, {"reason": "superseded"})))
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_film_is_whole(tmp_path: Path) -> None:
    """What was filmed before Ctrl-C is a valid film under its own name."""

    def cut_short() -> None:
        with VideoWriter(tmp_path / "film.mp4", 20.0) as writer:
            film(writer, answered(1), answered(2))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cut_short()
    assert len(read_film(tmp_path / "film.mp4")) == 2


@pytest.mark.parametrize("size", [(64, 64), (101, 67), (1280, 720)])
def test_frames_of_any_size_can_be_filmed(tmp_path: Path, size: tuple[int, int]) -> None:
    """Odd sides, wide frames and large ones; a later frame of another size is fitted to the first."""
    with VideoWriter(tmp_path / "film.mp4", 10.0) as writer:
        film(writer, answered(1, size), answered(2, size, mask=False), answered(3, (48, 80)))
    frames = read_film(tmp_path / "film.mp4")
    assert len(frames) == 3
    height, width = frames[0].shape[:2]
    assert width / (height - BAR) == pytest.approx(size[0] / size[1], rel=0.03)


def test_an_old_film_stands_until_the_new_one_is_whole(tmp_path: Path) -> None:
    """Filming again replaces the film at the end, not at the start."""
    path = tmp_path / "film.mp4"
    path.write_bytes(b"old")
    with VideoWriter(path, 20.0) as writer:
        film(writer, answered(1))
        assert path.read_bytes() == b"old"
    assert len(read_film(path)) == 1
