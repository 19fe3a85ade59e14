"""The study: arms measured once each on held-out runs, a folder that processes share, the page made of it."""

from __future__ import annotations

import fcntl
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from quadfollow_core.errors import BadInput, NotFound
from quadfollow_training.study import arms as study_arms
from quadfollow_training.study import summary as study_summary
from quadfollow_training.study.arms import ARMS, Arm, find_arms, plan
from quadfollow_training.study.classifier import label
from quadfollow_training.study.cli import study
from quadfollow_training.study.locations import compare, place_of, same_place
from quadfollow_training.study.page import write_page
from quadfollow_training.study.results import Results
from quadfollow_training.study.running import run_study
from quadfollow_training.study.summary import spread, verdict

PIXELS = 4 * 32 * 32 * 2
"""Two steps of the tiny recipe."""


@pytest.fixture
def arms(tiny_recipe):
    """Two small arms: a network and a classifier."""
    return (
        Arm("base", "tiny", tiny_recipe, decides=True, passes=2),
        Arm("classifier", "tiny, dense head", tiny_recipe, classifier=True),
    )


@pytest.fixture
def results(tmp_path):
    """An empty folder of results."""
    return Results(tmp_path / "study")


@pytest.fixture
def measured(arms, results, data):
    """A folder with the results of both arms by one seed, and what the run said."""
    return results, run_study([data], results, arms, pixels=PIXELS, seeds=1)


def test_an_arm_is_measured_once(measured, arms, data):
    """Score parts, places, costs and provenance are on disk; a second call measures only what is new."""
    results, said = measured
    assert said["measured"] == ["base-1", "classifier-1"]
    assert said["left"] == []
    found = results.read(arms[0], 1)
    assert len(found["passes"]) == 2
    last = found["passes"][-1]
    assert set(last["score"]["sets"]) == {"following_images", "patrol_non_targ", "patrol_with_targ"}
    assert 0 <= last["presence"] <= 1
    assert last["places"]["frames"] == 6
    assert min(found["costs"][name] for name in ("parameters", "macs", "latency_ms")) > 0
    assert found["data"]["held_out_runs"] == ["3_run1"]
    assert found["recipe"]["steps"] == 2
    told = results.read(arms[1], 1)["passes"][0]
    assert told["places"]["median_distance"] is not None
    assert "score" not in told
    again = run_study([data], results, arms[:1], pixels=PIXELS, seeds=2)
    assert again["measured"] == ["base-2"]
    with pytest.raises(BadInput, match="pixels"):
        run_study([data], results, arms, pixels=2 * PIXELS, seeds=1)


def test_a_claimed_arm_is_left_to_the_process_that_has_it(arms, results, data):
    """A lock held elsewhere is respected, time that is up too; what was not measured is said to be left."""
    results.folder.mkdir()
    with (results.folder / ".base-1.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        said = run_study([data], results, arms[:1], pixels=PIXELS, seeds=1)
    assert said == {"results": str(results.folder), "measured": [], "left": ["base-1"]}
    said = run_study([data], results, arms[:1], pixels=PIXELS, seeds=1, minutes=0)
    assert said["left"] == ["base-1"]


def test_a_process_that_died_loses_its_claim(arms, results):
    """The lock of a killed process can be taken at once."""
    program = (
        "import os, signal, sys; from pathlib import Path\n"
        "from quadfollow_training.study.results import Results\n"
        "from quadfollow_training.study.arms import Arm; from quadfollow_training.recipes import SEED\n"
        "claim = Results(Path(sys.argv[1])).claim(Arm('base', '', SEED), 1); assert claim.__enter__()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run([sys.executable, "-c", program, results.folder], env=environment, check=False)
    assert done.returncode == -9
    with results.claim(arms[0], 1) as mine:
        assert mine


def test_the_plan_goes_through_all_arms_before_more_seeds():
    """One seed for each arm, then further ones for those that decide; or as many as asked for."""
    planned = [(arm.name, seed) for arm, seed in plan(ARMS, None)]
    assert planned[: len(ARMS)] == [(arm.name, 1) for arm in ARMS]
    assert {name for name, seed in planned if seed == 3} == {arm.name for arm in ARMS if arm.decides}
    assert len(list(plan(ARMS, 2))) == 2 * len(ARMS)
    assert len({arm.name for arm in ARMS}) == len(ARMS)
    assert find_arms(("stem",)) == tuple(arm for arm in ARMS if arm.name == "stem")
    with pytest.raises(NotFound, match="no-such"):
        find_arms(("no-such",))


@pytest.mark.parametrize("arm", ARMS, ids=lambda arm: arm.name)
def test_every_arm_has_the_same_budget(arm):
    """Each trains on the pixels asked for, to within one step."""
    recipe = arm.at(20_000_000, 3)
    side = recipe.crop or recipe.spec.input_size[0]
    step = recipe.batch * side * side
    assert abs(recipe.steps * step - 20_000_000) <= step / 2
    assert (recipe.seed, recipe.epochs, recipe.name) == (3, arm.passes, arm.name)


def test_places_are_told_apart():
    """The middle of a mask, distances, misses, and the same place for every frame."""
    mask = np.zeros((10, 20), dtype=bool)
    mask[4:6, 8:12] = True
    assert place_of(mask) == (0.5, 0.5)
    assert place_of(np.zeros((10, 20), dtype=bool)) is None
    assert label(np.where(mask, 2, 0).astype(np.uint8)).tolist() == [1.0, 0.5, 0.5]
    true = [(0.5, 0.5), (0.1, 0.5), (0.9, 0.5), None]
    told = compare(true, [(0.5, 0.52), None, (0.5, 0.5), (0.3, 0.3)], [500, 500, 20, 0])
    assert told == {"frames": 3, "median_distance": pytest.approx(0.4), "near_within": 0.5, "far_within": 0.0}
    assert same_place(true) == [pytest.approx((0.5, 0.5))] * 4


def _result(name: str, seed: int, final: float) -> dict:
    """A result as on disk, with made-up numbers."""
    sizes = {"20-39": {"frames": 5, "detected": 2, "iou": final}, "320+": {"frames": 9, "detected": 9, "iou": 0.9}}
    part = {"n": 9, "tp": 5, "fp": 1, "fn": 2, "tn": 1, "iou_hero": final, "by_size": sizes}
    places = {"frames": 14, "median_distance": None, "near_within": 0.5, "far_within": 0.1}
    score = {"final": final, "fp": 1, "fn": 2, "sets": {"following_images": part, "patrol_with_targ": part}}
    shared = {"pixels": 10**6, "machine": "a machine", "git_commit": "0123456789", "seconds": 1.0, "data": DATA}
    costs = {"parameters": 5000, "macs": 10**6, "latency_ms": 1.5}
    recipe = {"steps": 3, "batch": 4}
    passes = [{"score": score, "presence": 0.8, "places": places}]
    return shared | {"arm": name, "seed": seed, "costs": costs, "recipe": recipe, "passes": passes}


DATA = {"frames": 100, "fingerprint": "f", "held_out_frames": 20, "held_out_runs": ["3_run1"]}


def test_the_page_says_what_the_results_say(results, tmp_path):
    """Tables, verdicts and plots follow the numbers; arms without a result are said to be missing."""
    by_name = {arm.name: arm for arm in ARMS}
    for seed, final in enumerate((0.30, 0.31, 0.32), 1):
        results.write(by_name["base"], seed, _result("base", seed, final))
    results.write(by_name["no-skips"], 1, _result("no-skips", 1, 0.1))
    results.write(by_name["norm-none"], 1, _result("norm-none", 1, 0.305))
    classifier = _result("classifier", 1, 0.0)
    told = classifier["passes"][0]
    del told["score"]
    told["same_place"] = told["places"] | {"median_distance": 0.2}
    results.write(by_name["classifier"], 1, classifier)
    page = tmp_path / "docs" / "network.md"
    said = write_page(results, page, tmp_path)
    assert said == {"page": str(page), "arms": 4, "results": 6}
    text = page.read_text()
    assert "| base | 3 | 0.310 ± 0.010 | 0.310 |" in text
    assert "*no skips*: 0.210 less, beyond what seeds differ by" in text
    assert "*no batch normalisation*: 0.005 less, which is within what seeds differ by" in text
    assert "Not measured yet." in text
    assert "$" not in text
    assert "No search was made yet." in text
    pictures = re.findall(r"\((img/[\w-]+\.png)\)", text)
    assert len(pictures) == 3
    assert all(0 < (page.parent / picture).stat().st_size < 100_000 for picture in pictures)


def test_sizes_that_an_arm_lacks_are_left_out(results, tmp_path):
    """An arm scored on other frames has no number there, and a gap in its line."""
    by_name = {arm.name: arm for arm in ARMS}
    results.write(by_name["base"], 1, _result("base", 1, 0.3))
    other = _result("no-skips", 1, 0.2)
    for part in other["passes"][0]["score"]["sets"].values():
        part["by_size"] = {"20-39": part["by_size"]["20-39"], "80-159": {"frames": 3, "detected": 1, "iou": 0.5}}
    results.write(by_name["no-skips"], 1, other)
    write_page(results, tmp_path / "network.md", tmp_path)
    text = (tmp_path / "network.md").read_text()
    assert "| arm | 20-39 px (10) | 80-159 px (6) | 320+ px (18) |" in text
    assert "| base | 0.300 |  | 0.900 |" in text
    assert "| no-skips | 0.200 | 0.500 |  |" in text


def test_differences_are_held_against_the_spread_of_seeds(results):
    """Pooled over arms with several seeds; nothing is called a finding where there is but one seed."""
    arm = ARMS[0]
    several = study_summary.Summary(arm, tuple(_result("base", seed, 0.3 + seed / 100) for seed in (1, 2, 3)))
    one = study_summary.Summary(arm, (_result("base", 1, 0.2),))
    assert spread([several, one]) == pytest.approx(0.01)
    assert spread([one]) == 0
    assert verdict(one, one, 0.0) == "0.000 less, from one seed each"


def test_results_that_cannot_be_compared_are_refused(results, tmp_path):
    """Another budget in the same folder, a damaged file, an empty folder."""
    with pytest.raises(NotFound, match="run the study first"):
        write_page(results, tmp_path / "page.md", tmp_path)
    results.write(ARMS[0], 1, _result("base", 1, 0.3))
    results.write(ARMS[0], 2, _result("base", 2, 0.3) | {"pixels": 5})
    with pytest.raises(BadInput, match="differ in pixels"):
        results.by_arm()
    results.path(ARMS[0], 2).write_text("{")
    with pytest.raises(BadInput, match="damaged"):
        results.by_arm()


def test_the_committed_page_is_what_its_results_make(tmp_path):
    """Text and numbers of docs/network.md come from the results beside it, unchanged."""
    root = Path(__file__).parents[2]
    write_page(Results(root / "benchmarks" / "study"), tmp_path / "network.md", root / "benchmarks" / "tuning")
    made = (tmp_path / "network.md").read_text().replace(f"{root.as_posix()}/", "")
    assert made == (root / "docs" / "network.md").read_text()
    pictures = set(re.findall(r"\((img/study-[\w-]+\.png)\)", made))
    assert pictures == {f"img/{path.name}" for path in (tmp_path / "img").iterdir()}
    assert "img/study-search.png" in pictures


def test_the_command_prints_one_json_object(data, tmp_path, monkeypatch, arms):
    """An arm by name through the console command, then the page; without data the remedy is named."""
    monkeypatch.setattr(study_arms, "ARMS", arms)
    monkeypatch.setattr(study_summary, "ARMS", arms)
    options = ["--out", tmp_path / "study", "--arm", "base", "--seeds", 1, "--pixels", PIXELS, "--json"]
    call = [str(word) for word in [*options, "--data", data, "--hold-out", "2_run1"]]
    said = json.loads(CliRunner().invoke(study, call, catch_exceptions=False).stdout)
    assert said["measured"] == ["base-1"]
    result = json.loads((tmp_path / "study" / "base-1.json").read_text())
    assert result["data"]["held_out_runs"] == result["recipe"]["hold_out"] == ["2_run1"], (
        "who trains by it forgets none"
    )
    with pytest.raises(BadInput, match="--data"):
        CliRunner().invoke(study, [str(word) for word in options], env={"QUADFOLLOW_DATA": ""}, catch_exceptions=False)
