"""A lens that is known is found again from pictures of a board, and gives right bearings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from quadfollow_core.codec import encode_png
from quadfollow_core.errors import BadDataset, BadInput
from quadfollow_core.geometry import Intrinsics
from quadfollow_sim.calibration import calibrate, load_calibration, parse_board, read_views
from quadfollow_sim.recording.source import read_pictures

SIZE = (640, 480)
K = np.array([[520.0, 0, 315.0], [0, 515.0, 245.0], [0, 0, 1]])
D = np.array([-0.2, 0.05, 0.0, 0.0, 0.0])


def view(turn: tuple[float, float, float], place: tuple[float, float, float]) -> NDArray[np.uint8]:
    """A board of 8 by 6 squares (7 by 5 inner corners), turned and moved, through a lens that distorts."""
    side = 40
    squares = np.indices((6, 8)).sum(axis=0) % 2 * 255
    board = np.pad(np.kron(squares, np.ones((side, side))), side, constant_values=255).astype(np.uint8)
    rotation, _ = cv2.Rodrigues(np.array(turn))
    plane = np.array([[1 / side, 0, -5], [0, 1 / side, -4], [0, 0, 1]])
    flat = K @ np.column_stack([rotation[:, 0], rotation[:, 1], np.array(place)]) @ plane
    ideal = cv2.warpPerspective(board, flat, SIZE, borderValue=128)
    grid = np.indices((SIZE[1], SIZE[0]))[::-1].reshape(2, -1).T.astype(np.float64).reshape(-1, 1, 2)
    there = cv2.undistortPoints(grid, K, D, P=K).reshape(SIZE[1], SIZE[0], 2).astype(np.float32)
    seen = cv2.remap(ideal, there[:, :, 0], there[:, :, 1], cv2.INTER_LINEAR, borderValue=128)
    return np.asarray(np.repeat(seen[:, :, None], 3, axis=2), dtype=np.uint8)


VIEWS = [
    view(turn, place)
    for turn, place in (
        ((0.0, 0.0, 0.0), (0.0, 0.0, 12.0)),
        ((0.5, 0.0, 0.1), (0.0, 0.0, 13.0)),
        ((-0.5, 0.1, 0.0), (1.0, 0.5, 13.0)),
        ((0.0, 0.5, 0.0), (-1.5, 0.5, 13.0)),
        ((0.1, -0.5, 0.1), (1.5, -0.5, 13.0)),
        ((0.4, 0.4, 0.2), (-1.0, -0.5, 14.0)),
        ((-0.4, -0.4, -0.2), (1.0, 0.5, 14.0)),
        ((0.3, -0.4, 0.4), (0.0, 0.3, 13.0)),
    )
]


def test_a_known_lens_is_found_and_its_bearings_are_right() -> None:
    """Within half a degree all over the picture, where the lens as a pinhole is off by far more at the corner."""
    found = calibrate(VIEWS, (7, 5))
    assert found.error_px < 0.5
    true = Intrinsics(520, 515, 315.5, 245.5, tuple(D))
    pinhole = Intrinsics(520, 515, 315.5, 245.5)
    for pixel in ((320.0, 240.0), (100.0, 100.0), (540.0, 400.0)):
        assert np.abs(found.intrinsics.unproject(*pixel) - true.unproject(*pixel)).max() < 0.009
    assert np.abs(pinhole.unproject(60, 60) - true.unproject(60, 60)).max() > 0.009


@pytest.mark.usefixtures("in_step")
def test_the_command_writes_what_fly_reads(
    run: Any, tmp_path: Path, start_peer: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """From pictures to a file to the camera that goes out with every picture, at that picture's size."""
    folder, path = tmp_path / "board", tmp_path / "camera.json"
    folder.mkdir()
    for number, picture in enumerate(VIEWS):
        (folder / f"{number}.png").write_bytes(encode_png(picture))

    assert run("calibrate", folder, "--board", "7x5", "-o", path, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told == json.loads(path.read_text())
    lens = load_calibration(path).intrinsics
    small = tmp_path / "small"
    small.mkdir()
    (small / "0.png").write_bytes(encode_png(cv2.resize(VIEWS[0], (320, 240))))
    peer = start_peer()
    options = ("--server", peer.address, "--out", tmp_path / "out", "--no-video")
    assert run("fly", "--frames", small, "--calibration", path, "--record", tmp_path / "a.mcap", *options) == 0
    (request,) = peer.requests
    assert request.camera.intrinsics == lens.scaled(0.5, 0.5)
    (shown,) = read_pictures(tmp_path / "a.mcap", "/camera/image")
    assert shown.answer["camera"]["fx"] == pytest.approx(lens.fx / 2), "recorded as it was sent"


def test_at_most_forty_pictures_are_looked_at(tmp_path: Path) -> None:
    """Evenly chosen, of a folder or of a film."""
    film = cv2.VideoWriter(str(tmp_path / "a.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (32, 32))
    for number in range(79):
        picture = np.full((32, 32, 3), 3 * number, dtype=np.uint8)
        (tmp_path / f"{number:02d}.png").write_bytes(encode_png(picture))
        film.write(picture)
    film.release()
    for path in (tmp_path, tmp_path / "a.avi"):
        shades = [picture.mean() for picture in read_views(path)]
        assert len(shades) == 40
        assert shades == pytest.approx([6 * number for number in range(40)], abs=4)


def test_the_faulty_picture_is_named(tmp_path: Path) -> None:
    """It is found among the others."""
    (tmp_path / "1.png").write_bytes(encode_png(VIEWS[0]))
    (tmp_path / "2.png").write_bytes(b"no picture")
    with pytest.raises(BadDataset, match=r"2\.png"):
        list(read_views(tmp_path))


def test_what_cannot_be_calibrated_is_named(tmp_path: Path) -> None:
    """Too few views, a size that is none, a file that is none, pictures of another shape."""
    with pytest.raises(BadDataset, match="5 are needed"):
        calibrate(VIEWS[:2], (7, 5))
    with pytest.raises(BadInput, match="9x6"):
        parse_board("nine")
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(BadInput, match="calibrate"):
        load_calibration(tmp_path / "a.json")
    with pytest.raises(BadInput, match="640x480"):
        calibrate(VIEWS, (7, 5)).camera(500, 500)
