"""Tuning with Optuna itself: pruning, one storage for several processes, going on, and what is made of the outcome."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

import optuna
import pytest
from click.testing import CliRunner
from optuna.trial import TrialState

from quadfollow_core.errors import BadInput, NotFound, Unavailable
from quadfollow_training import compiling
from quadfollow_training.recipe_files import choose_recipe, read_recipe
from quadfollow_training.recipes import RECIPES, SEED
from quadfollow_training.tuning import searching
from quadfollow_training.tuning.cli import absolute, tune
from quadfollow_training.tuning.report import report
from quadfollow_training.tuning.space import first_try, suggest, with_numbers
from quadfollow_training.tuning.storage import open_search, open_storage

PIXELS = 16 * 32 * 32 * 2


@pytest.fixture
def recipe(tiny_recipe):
    """A tiny recipe."""
    return tiny_recipe


@pytest.fixture
def search(recipe, data, tmp_path):
    """A function that searches in a SQLite file until so many trials are finished."""

    def run(trials, storage=f"sqlite:///{tmp_path / 'trials.db'}", **how):
        how = {"name": "test", "epochs": 2, "pixels": PIXELS, "seed": 1} | how
        return searching.search(how.pop("recipe", recipe), [data], storage, trials=trials, **how)

    return run


@pytest.mark.parametrize("name", ["crops-256", "follow-256"])
@pytest.mark.parametrize("batch", [16, 128])
@pytest.mark.parametrize("epochs", [3, 9])
def test_a_short_trial_has_the_whole_schedule(name, batch, epochs):
    """The rate reaches the number that is judged, after the recipe's own share of the steps, and falls to nothing."""
    recipe = replace(RECIPES[name], batch=batch)
    tried = searching.shortened(recipe, epochs, 300_000_000)
    rates = [float(compiling.learning_rate(tried)(step)) for step in range(epochs * tried.steps)]
    assert tried.epochs == epochs
    assert max(rates) == pytest.approx(tried.learning_rate, rel=0.02)
    assert rates[-1] < 0.02 * tried.learning_rate
    assert tried.warmup / len(rates) == pytest.approx(recipe.warmup / recipe.scheduled_steps, abs=0.015)


def test_a_warm_up_that_never_ends_is_refused():
    """With its remedy."""
    with pytest.raises(BadInput, match="train for longer"):
        replace(RECIPES["crops-256"], epochs=1, schedule_epochs=None, steps=10)


def test_a_recipe_that_draws_mistakes_is_refused(search):
    """There is no network whose they could be, and leaving them out in silence would search another recipe."""
    with pytest.raises(BadInput, match=r"hard-256 draws a network's mistakes.*shares\.mistake 0"):
        search(1, recipe=RECIPES["hard-256"])


def finished(study: optuna.Study) -> int:
    """How many trials ran to their end or were given up."""
    return sum(trial.state in searching.FINISHED for trial in study.trials)


def test_a_search_goes_on_where_it_stopped(search, recipe):
    """The recipe's own numbers are tried first; a second call adds what is missing, a third nothing."""
    first = search(1)
    assert first.trials[0].params == pytest.approx(first_try(recipe))
    assert len(first.trials[0].intermediate_values) == 2
    assert finished(search(2)) == 2
    assert finished(search(2)) == 2
    with pytest.raises(BadInput, match="differs in pixels"):
        search(3, pixels=2 * PIXELS)
    with pytest.raises(BadInput, match="differs in recipe's augmentations"):
        search(3, recipe=replace(recipe, augmentations=("flip",)))
    tuned = replace(recipe, batch=9, learning_rate=0.1, class_weights=(1.0, 2.0, 3.0), dice=0.5, workers=1)
    assert finished(search(2, recipe=tuned)) == 2, "what is searched may differ, and the threads"
    with pytest.raises(BadInput, match="differs in held_out_runs"):
        search(3, recipe=replace(recipe, hold_out=("2_run1",)))


@pytest.mark.parametrize(("others", "state"), [(0.9, TrialState.PRUNED), (-0.9, TrialState.COMPLETE)])
def test_a_trial_that_falls_behind_is_given_up(search, recipe, tmp_path, others, state):
    """A trial whose first score lies below the median of the others' is not trained on; above it, it is."""
    journal = str(tmp_path / "trials.log")
    study = search(0, storage=journal)
    for _ in range(4):
        study.add_trial(optuna.create_trial(value=others, intermediate_values={0: others, 1: others}))
    tried = search(5, storage=journal).trials[0]
    assert tried.state == state
    assert len(tried.intermediate_values) == (1 if state == TrialState.PRUNED else 2)


@pytest.mark.slow
def test_two_processes_share_a_storage(recipe, data, tmp_path):
    """Both finish trials of one search, no number is given twice, and together they stop at the number asked for."""
    start = tmp_path / "start.json"
    start.write_text(json.dumps({"recipe": recipe.as_dict()}))
    words = [
        *("--recipe", start, "--data", data, "--out", tmp_path / "out", "--trials", 4, "--epochs", 2),
        *("--pixels", PIXELS, "--hold-out", "3_run1", "--json"),
    ]
    program = "from quadfollow_training.tuning.cli import tune; tune()"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    running = [
        subprocess.Popen(
            [sys.executable, "-c", program, *map(str, words)], env=environment, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    try:
        outputs = [process.communicate(timeout=280)[0] for process in running]
    finally:
        for process in running:
            process.kill()
    assert [process.returncode for process in running] == [0, 0]
    study = optuna.load_study(study_name="quadfollow", storage=f"sqlite:///{tmp_path / 'out' / 'trials.db'}")
    assert 4 <= finished(study) <= 5
    assert sorted(trial.number for trial in study.trials) == list(range(len(study.trials)))
    assert json.loads(outputs[0])["search"] == "quadfollow"


def test_the_outcome_can_be_trained_by(recipe, tmp_path):
    """The best numbers, what mattered, a plot and a recipe that reads back as it was; unfinished trials are no best."""
    storage = open_storage(str(tmp_path / "trials.log"))
    study = open_search(storage, "made up", {"recipe": "tiny", "pixels": 1, "epochs": 2}, 1)
    assert report(study, recipe, tmp_path)["best"] is None
    for rate in (0.001, 0.003, 0.005, 0.01, 0.02):
        study.enqueue_trial(first_try(recipe) | {"learning_rate": rate})
        trial = study.ask()
        searching.suggest(trial, recipe)
        trial.report(rate, 0)
        study.tell(trial, 1 - abs(rate - 0.005) * 10)
    outcome = report(study, recipe, tmp_path)
    assert outcome == json.loads((tmp_path / "tuning.json").read_text()) | {"recipe": outcome["recipe"]}
    assert outcome["best"]["numbers"]["learning_rate"] == 0.005
    assert sum(outcome["importance"].values()) == pytest.approx(1, abs=0.01)
    assert 0 < (tmp_path / "search.png").stat().st_size < 100_000
    tuned = choose_recipe(str(tmp_path / "tuning.json"))
    assert tuned == with_numbers(replace(recipe, name="tiny-tuned"), first_try(recipe) | {"learning_rate": 0.005})


def test_runs_held_out_from_a_search_are_held_out_from_what_is_trained_by_it(recipe, data, tmp_path):
    """`--hold-out` names them once, and the outcome's recipe holds them out too."""
    start = tmp_path / "start.json"
    start.write_text(json.dumps({"recipe": recipe.as_dict()}))
    words = ["--recipe", start, "--data", data, "--out", tmp_path / "out", "--trials", 1, "--epochs", 1]
    words += ["--pixels", PIXELS, "--hold-out", "2_run1"]
    CliRunner().invoke(tune, [str(word) for word in words], catch_exceptions=False)
    assert json.loads((tmp_path / "out" / "tuning.json").read_text())["facts"]["held_out_runs"] == ["2_run1"]
    assert choose_recipe(str(tmp_path / "out" / "tuning.json")).hold_out == ("2_run1",)


def test_recipes_go_through_json(tmp_path):
    """Every recipe that ships reads back equal; what tells of none is refused by name."""
    path = tmp_path / "recipe.json"
    for recipe in RECIPES.values():
        path.write_text(json.dumps({"recipe": recipe.as_dict()}))
        assert read_recipe(path) == recipe
    path.write_text(json.dumps({"recipe": {"batch": 3}}))
    with pytest.raises(BadInput, match=r"config\.json"):
        read_recipe(path)
    for other in ("seed", None, SEED.as_dict() | {"spec": "x"}, SEED.as_dict() | {"zoom": [1]}):
        path.write_text(json.dumps({"recipe": other}))
        with pytest.raises(BadInput, match=r"tells of no recipe .*config\.json"):
            read_recipe(path)
    with pytest.raises(NotFound, match="no recipe at"):
        read_recipe(tmp_path / "none.json")
    with pytest.raises(NotFound, match="no recipe named"):
        choose_recipe("none")


def test_a_seeded_search_that_goes_on_tries_something_new(recipe, tmp_path):
    """The numbers of a restart are others than those before it, and the same when all of it is repeated."""

    def try_twice(storage):
        tried = []
        for _ in range(2):
            study = open_search(open_storage(str(tmp_path / storage)), "seeded", {}, 5)
            trial = study.ask()
            suggest(trial, recipe)
            study.tell(trial, 0.5)
            tried.append(trial.params)
        return tried

    first = try_twice("first.log")
    assert first[0] != first[1]
    assert try_twice("again.log") == first


def test_a_new_storage_can_be_opened_by_several_at_once(tmp_path):
    """Each finds its tables, whoever makes them."""
    together = Barrier(8)

    def begin(where):
        together.wait()
        return open_storage(where)

    with ThreadPoolExecutor(8) as pool:
        storages = list(pool.map(begin, [f"sqlite:///{tmp_path / 'new' / 'trials.db'}"] * 8))
    assert [storage.get_all_studies() for storage in storages] == [[]] * 8


def test_every_process_of_a_cluster_finds_the_storage(tmp_path, monkeypatch):
    """Files are named from the root; what is no file stays as it is."""
    monkeypatch.chdir(tmp_path)
    assert absolute("trials.log") == str(tmp_path / "trials.log")
    assert absolute("sqlite:///a/trials.db") == f"sqlite:///{tmp_path / 'a' / 'trials.db'}"
    assert absolute("sqlite:////a/trials.db") == "sqlite:////a/trials.db"
    assert absolute("postgresql://host/trials") == "postgresql://host/trials"


def test_storages_that_cannot_be_opened_name_cause_and_remedy(tmp_path):
    """Not a database's URL, a file that is none, and one whose driver is missing."""
    (tmp_path / "text.db").write_text("no database" * 100)
    with pytest.raises(BadInput, match=r"file is not a database.*sqlite:///"):
        open_storage(f"sqlite:///{tmp_path / 'text.db'}")
    with pytest.raises(BadInput, match="sqlite:///"):
        open_storage("somewhere")
    with pytest.raises(Unavailable, match="driver"):
        open_storage("postgresql+pg8000://localhost/search")


def test_what_is_for_a_cluster_is_refused_without_one(tmp_path):
    """Workers and GPUs are not ignored in silence."""
    for words in (["--workers", "2"], ["--gpus", "0.5"]):
        refused = CliRunner().invoke(tune, ["--data", str(tmp_path), "--out", str(tmp_path / "out"), *words])
        assert refused.exit_code == 2
        assert "--ray" in refused.output


def test_the_command_explains_itself():
    """Help names how searches are shared, and every option has a word of help."""
    shown = CliRunner().invoke(tune, ["--help"])
    assert shown.exit_code == 0
    assert "postgresql://" in shown.output
    assert all(option.help for option in tune.params)
