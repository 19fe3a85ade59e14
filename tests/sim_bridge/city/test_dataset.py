"""Labelled sets: QuadSim's layout, pairs that match, the same again, resumed where they stopped."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from click.testing import CliRunner

from quadfollow_core.codec import decode_image
from quadfollow_core.errors import BadInput
from quadfollow_core.geometry import Intrinsics
from quadfollow_sim.city import dataset
from quadfollow_sim.city.cli import render
from quadfollow_sim.city.dataset import RUN_FRAMES, Recipe, local_pool, paths, render_dataset
from quadfollow_sim.city.looks import Setting
from quadfollow_sim.city.views import draw_view

RECIPE = Recipe(("plaza", "street"), count=6, seed=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of six frames."""
    where = tmp_path_factory.mktemp("city")
    render_dataset(RECIPE, where, local_pool(1))
    return where


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_layout(folder: Path) -> None:
    """Images and masks pair by sorted order and by name, and nothing else lies beside them."""
    images = sorted(path.name for path in (folder / "images").iterdir())
    masks = sorted(path.name for path in (folder / "masks").iterdir())
    assert images[0] == "city_plaza_run0000cam1_00000.jpeg"
    assert masks[0] == "city_plaza_run0000_mask_00000.png"
    assert [name.replace("cam1_", "|").removesuffix(".jpeg") for name in images] == [
        name.replace("_mask_", "|").removesuffix(".png") for name in masks
    ]
    assert len(images) == 6


def test_masks_are_one_hot(folder: Path) -> None:
    """A mask has 0 and 255 only, one channel set per pixel; images are 256 by 256."""
    seen = np.zeros(3)
    for path in sorted((folder / "masks").iterdir()):
        mask = decode_image(path.read_bytes())
        assert set(np.unique(mask)) <= {0, 255}
        assert (mask.astype(int).sum(axis=2) == 255).all()
        seen += mask.reshape(-1, 3).any(axis=0)
    assert (seen > 0).all()
    for path in (folder / "images").iterdir():
        assert decode_image(path.read_bytes()).shape == (256, 256, 3)


def test_resumes(folder: Path, tmp_path: Path) -> None:
    """What is missing is rendered again to the same bytes, and nothing else is touched."""
    before = contents(folder)
    image = paths(RECIPE, folder, 0, 3)[0]
    image.unlink()
    paths(RECIPE, folder, 0, 5)[1].unlink()
    kept = paths(RECIPE, folder, 0, 1)[0].stat().st_mtime_ns
    seen: list[tuple[int, int]] = []
    assert render_dataset(RECIPE, folder, local_pool(1), lambda done, total: seen.append((done, total))) == 2
    assert contents(folder) == before
    assert paths(RECIPE, folder, 0, 1)[0].stat().st_mtime_ns == kept
    assert seen == [(6, 6)]
    assert render_dataset(RECIPE, folder, local_pool(1)) == 0


def test_another_recipe_is_refused(folder: Path) -> None:
    """A folder is only gone on with by the recipe it was begun with."""
    with pytest.raises(BadInput, match="another"):
        render_dataset(Recipe(("plaza", "street"), count=6, seed=5), folder, local_pool(1))


def test_a_failed_write_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the image is only half written, no file of it is left, and it is what the next rendering makes."""
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()

    whole = Path.write_bytes

    def write_half(path: Path, data: bytes) -> int:
        if path.suffix == ".png":
            return whole(path, data)
        whole(path, data[: len(data) // 2])
        raise OSError("disk full")

    monkeypatch.setattr(Path, "write_bytes", write_half)
    with pytest.raises(OSError, match="disk full"):
        dataset.render_run(RECIPE, tmp_path, 0, [0])
    assert not any((tmp_path / "images").iterdir())
    assert dataset._missing(RECIPE, tmp_path, 0)[0] == 0


def test_runs_are_dealt_out() -> None:
    """Runs take the presets in turn and add up to the count."""
    recipe = Recipe(("plaza", "crowd"), count=2 * RUN_FRAMES + 3)
    assert [recipe.preset(run) for run in range(recipe.runs)] == ["plaza", "crowd", "plaza"]
    assert [len(recipe.frames(run)) for run in range(recipe.runs)] == [RUN_FRAMES, RUN_FRAMES, 3]
    for wrong in ({"presets": ()}, {"presets": ("moon",)}, {"count": 0}):
        with pytest.raises(BadInput):
            Recipe(**wrong)  # type: ignore[arg-type]


def test_views_are_as_described(setting: Setting) -> None:
    """Cameras stand above ground between 0.5 and 18.1 m, in no house, and four in ten see the target near by."""
    rng = np.random.default_rng(0)
    lens = Intrinsics.from_fov(256, 256, math.radians(60))
    near = 0
    for index in range(300):
        pose = draw_view(setting, float(index), lens, rng).pose
        assert pose is not None
        x, y, z = pose.position
        assert 0.5 <= z <= 18.1
        inside = [house.outline.distance(np.array(x), np.array(y)) < 0 for house in setting.plan.buildings]
        assert not any(inside) or z > 5
        near += bool(np.linalg.norm(setting.crowd.middles(float(index))[0] - pose.position) < 7.5)
    assert 0.36 < near / 300 < 0.62


@pytest.mark.slow
def test_workers_change_nothing(tmp_path: Path) -> None:
    """Two processes render the same bytes as one."""
    recipe = Recipe(("plaza",), count=RUN_FRAMES + 8, seed=2)
    for workers in (1, 2):
        render_dataset(recipe, tmp_path / str(workers), local_pool(workers))
    assert contents(tmp_path / "1") == contents(tmp_path / "2")


def test_no_worker_outlives_a_command_that_is_killed(tmp_path: Path) -> None:
    """The processes that draw end with the one that began them, even where that gets no chance to tell them."""
    code = "from quadfollow_core.cli import main; main()"
    words = ["data", "render", "--count", "1280", "--workers", "2", "-o", str(tmp_path)]
    with subprocess.Popen([sys.executable, "-c", code, *words], stdout=subprocess.DEVNULL) as command:
        while not any(tmp_path.glob("images/*")):
            assert command.poll() is None
            time.sleep(0.1)
        workers = psutil.Process(command.pid).children(recursive=True)
        command.kill()
    assert workers
    assert psutil.wait_procs(workers, timeout=120)[1] == []


def test_command(tmp_path: Path) -> None:
    """The command prints one JSON object and goes on where it stopped."""
    arguments = ["--preset", "plaza", "--count", "2", "-o", str(tmp_path), "--workers", "1", "--json"]
    first, second = (CliRunner().invoke(render, arguments) for _ in range(2))
    assert first.exit_code == second.exit_code == 0, first.output
    assert [json.loads(result.stdout)["rendered"] for result in (first, second)] == [2, 0]
