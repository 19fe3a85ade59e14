"""Training runs: what they leave behind, and that an interruption changes nothing."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
import time
from dataclasses import replace

import keras
import numpy as np
import pytest

from quadfollow_core.errors import BadInput, BadModel
from quadfollow_training import train as train_module
from quadfollow_training.batches import Shares
from quadfollow_training.fcn import Spec, build
from quadfollow_training.mistakes import wrong_places
from quadfollow_training.progress import ProgressBar
from quadfollow_training.recipes import HOLD_OUT
from quadfollow_training.train import train

ONE_STAGE = Spec(input_size=(32, 32), encoders=(4,), bottleneck=4, decoders=(4,))


@pytest.fixture
def recipe(tiny_recipe):
    """The tiny recipe with the smallest network there is, for what does not depend on its depth."""
    return replace(tiny_recipe, spec=ONE_STAGE)


@pytest.fixture(scope="module")
def finished_once(tmp_path_factory):
    """Where the one finished run lies, and where its data."""
    return tmp_path_factory.mktemp("finished")


@pytest.fixture
def finished(finished_once, data, recipe, tmp_path):
    """A copy of a run of one epoch, its recipe and its data."""
    recipe = replace(recipe, epochs=1)
    if not (finished_once / "last.keras").exists():
        train(recipe, [data], finished_once)
    shutil.copytree(finished_once, tmp_path / "run")
    return recipe, data, tmp_path / "run"


def _weights(run):
    model = keras.models.load_model(run / "last.keras")
    return [np.asarray(value) for value in (*model.get_weights(), *(v.numpy() for v in model.optimizer.variables))]


def _rows(run):
    with (run / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def test_a_run_leaves_everything_that_tells_about_it(data, tiny_recipe, tmp_path):
    """A run's folder has models, history, curves, picture and a configuration that names data and held-out runs."""
    out = tmp_path / "run"
    result = train(tiny_recipe, [data], out)
    assert {path.name for path in out.iterdir()} == {
        "best.keras",
        "last.keras",
        "history.csv",
        "curves.png",
        "network.png",
        "config.json",
    }
    config = json.loads((out / "config.json").read_text())
    assert config["recipe"]["name"] == "tiny"
    assert config["held_out_runs"] == ["3_run1"]
    assert len(config["data"]["fingerprint"]) == 64
    assert config["packages"]["keras"] == keras.__version__
    assert {"git_commit", "command", "python"} <= config.keys()
    assert [row["epoch"] for row in _rows(out)] == ["1.0", "2.0", "3.0", "4.0"]
    assert [bool(row["held_out_final"]) for row in _rows(out)] == [False, True, False, True]
    assert result["epochs"] == 4
    assert config["backend"] == "tensorflow"
    assert config["best"]["epoch"] == result["best"]["epoch"] in (2, 4)
    assert config["best"]["held_out_final"] == result["best"]["held_out_final"]
    best = keras.models.load_model(out / "best.keras", compile=False)
    assert best.input_shape == (None, 32, 32, 3)


@pytest.mark.parametrize("recipe_of", [pytest.param("whole frames", marks=pytest.mark.slow), "crops"])
def test_a_killed_run_goes_on_to_the_same_weights(data, recipe, tmp_path, monkeypatch, recipe_of):
    """A run killed in the middle of its third epoch and resumed ends bit for bit as one never interrupted."""
    if recipe_of == "crops":
        recipe = replace(
            recipe,
            crop=32,
            augmentations=("flip", "blur"),
            zoom=(0.6, 1.4),
            optimizer="adamw",
            weight_decay=1e-3,
            schedule="cosine",
            warmup=2,
            dice=1.0,
            workers=1,
        )
    train(recipe, [data], tmp_path / "whole")
    with monkeypatch.context() as patched:

        def kill(bar, batch, logs=None):
            if bar.epoch == 2 and batch == 1:
                raise KeyboardInterrupt

        patched.setattr(ProgressBar, "on_train_batch_end", kill)
        with pytest.raises(KeyboardInterrupt):
            train(recipe, [data], tmp_path / "killed")
    assert len(_rows(tmp_path / "killed")) == 2
    train(recipe, [data], tmp_path / "killed", resume=True)
    pairs = zip(_weights(tmp_path / "whole"), _weights(tmp_path / "killed"), strict=True)
    assert all(np.array_equal(one, other) for one, other in pairs)
    assert _rows(tmp_path / "whole") == _rows(tmp_path / "killed")


@pytest.mark.slow
def test_a_run_killed_outright_goes_on_to_the_same_weights(data, tmp_path):
    """SIGKILL at any moment loses at most an epoch, and the resumed command ends as if nothing had happened."""
    options = ["--data", str(data), "--hold-out", "3_run1", "--filters", "2,2,2,2,2", "--batch", "2", "--workers", "1"]
    options += ["--epochs", "4", "--steps", "4", "--validation-steps", "1"]
    program = "from quadfollow_training.cli import train; train()"

    def start(out, *more):
        return subprocess.Popen([sys.executable, "-c", program, *options, "--out", str(tmp_path / out), *more])

    assert start("whole").wait() == 0
    killed = start("killed")
    while not (tmp_path / "killed" / "last.keras").exists():
        assert killed.poll() is None
        time.sleep(0.01)
    killed.kill()
    killed.wait()
    assert start("killed", "--resume").wait() == 0
    pairs = zip(_weights(tmp_path / "whole"), _weights(tmp_path / "killed"), strict=True)
    assert all(np.array_equal(one, other) for one, other in pairs)


def test_a_row_without_its_weights_is_dropped_on_resumption(data, recipe, tmp_path, monkeypatch):
    """Killed between writing the history and the weights, the epoch is trained again and its row written once."""
    recipe = replace(recipe, epochs=2, score_every=1)
    out = tmp_path / "run"
    save = train_module.save_whole

    def fail(path, write):
        if path.name == "last.keras" and len(_rows(out)) == 2:
            raise KeyboardInterrupt
        save(path, write)

    with monkeypatch.context() as patched:
        patched.setattr(train_module, "save_whole", fail)
        with pytest.raises(KeyboardInterrupt):
            train(recipe, [data], out)
    assert len(_rows(out)) == 2
    train(recipe, [data], out, resume=True)
    assert [row["epoch"] for row in _rows(out)] == ["1.0", "2.0"]


def test_training_learns(data, tiny_recipe, tmp_path):
    """On blobs of plain colours the loss falls well and the target's IoU on the held-out run rises."""
    recipe = replace(
        tiny_recipe,
        epochs=4,
        steps=25,
        batch=8,
        crop=32,
        shares=Shares(0.6, 0.2, 0.2),
        learning_rate=0.02,
        class_weights=(1, 2, 4),
        dice=1.0,
        score_every=4,
    )
    train(recipe, [data], tmp_path / "run")
    rows = _rows(tmp_path / "run")
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"]) / 2
    assert max(float(rows[-1][f"held_out_iou_{place}"]) for place in ("near", "far")) > 0.2


def test_a_finished_folder_is_not_overwritten(finished):
    """Training into a folder that holds a run needs --resume, which then has nothing left to do."""
    recipe, data, run = finished
    with pytest.raises(BadInput, match="--resume"):
        train(recipe, [data], run)
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    assert train(recipe, [data], run, resume=True)["epochs"] == 1
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before, "also of what was never resumed"


def test_a_finished_run_asks_no_network_for_its_mistakes(data, recipe, tmp_path, capsys):
    """`make train` gives every command again; what is finished costs no look at all frames."""
    build(recipe.spec).save(tmp_path / "other.keras")
    recipe = replace(recipe, epochs=1, shares=Shares(mistake=0.5))
    train(recipe, [data], tmp_path / "run", mistakes_of=tmp_path / "other.keras")
    assert "is wrong about the target" in capsys.readouterr().err
    train(recipe, [data], tmp_path / "run", mistakes_of=tmp_path / "other.keras", resume=True)
    assert "is wrong about the target" not in capsys.readouterr().err


def test_a_run_goes_on_by_the_backend_that_it_was_begun_by(finished):
    """Another one computes other weights, and is named by its variable; a finished run does not ask for it."""
    recipe, data, run = finished
    config = json.loads((run / "config.json").read_text()) | {"backend": "jax"}
    (run / "config.json").write_text(json.dumps(config))
    assert train(recipe, [data], run, resume=True)["epochs"] == 1
    config["recipe"]["epochs"] = 2
    (run / "config.json").write_text(json.dumps(config))
    with pytest.raises(BadInput, match=r"another KERAS_BACKEND \(jax, now tensorflow\)"):
        train(replace(recipe, epochs=2), [data], run, resume=True)


@pytest.mark.parametrize("change", [{"workers": 1}, {"hold_out": ("3_run1", "3_run1")}])
def test_what_decides_nothing_may_differ_at_resumption(finished, change):
    """How many threads decode, and by which words the same runs were held out."""
    recipe, data, run = finished
    assert train(replace(recipe, **change), [data], run, resume=True)["epochs"] == 1


@pytest.mark.parametrize(
    ("change", "named"),
    [({"learning_rate": 0.1}, "learning_rate 0.005, now 0.1"), ({"epochs": 9}, "epochs 1, now 9")],
)
def test_a_run_cannot_be_resumed_as_another(finished, change, named):
    """Resuming with another recipe is refused, and the difference named."""
    recipe, data, run = finished
    with pytest.raises(BadInput, match=named):
        train(replace(recipe, **change), [data], run, resume=True)


def test_other_data_cannot_resume_a_run(finished, write_run):
    """Data that changed since the run began is noticed by its fingerprint."""
    recipe, data, run = finished
    write_run(data / "train", "4_run1", 2, seed=9, target=5)
    with pytest.raises(BadInput, match="fingerprint"):
        train(recipe, [data], run, resume=True)


def test_renamed_sets_cannot_resume_a_run(finished):
    """Samples are drawn by the sets' names, which the fingerprint leaves out."""
    recipe, data, run = finished
    (data / "validation").rename(data / "validated")
    (data / "train").rename(data / "trained")
    with pytest.raises(BadInput, match=r"another sets \(\['train'\], now \['trained'\]\)"):
        train(recipe, [data], run, resume=True)


def test_of_equal_scores_the_latest_counts():
    """It has trained for longest; a higher one before it counts all the same."""
    rows = [{"epoch": float(number), "held_out_final": score} for number, score in enumerate((0.0, 0.5, 0.5, 0.1))]
    assert train_module._best([*rows, {"epoch": 4.0}]) is rows[2]
    assert train_module._best(rows[:1]) is rows[0]


@pytest.mark.slow
def test_of_what_a_network_is_begun_with_its_epoch_is_told(data, recipe, tmp_path):
    """Of a best.keras which epoch it is; of a last.keras nothing, since the run's other lines tell."""
    best = train(recipe, [data], tmp_path / "first")["best"]
    for name, told in (
        ("best.keras", {"epoch": best["epoch"], "held_out_final": best["held_out_final"]}),
        ("last.keras", None),
    ):
        out = tmp_path / name
        train(replace(recipe, epochs=1), [data], out, init=tmp_path / "first" / name)
        assert json.loads((out / "config.json").read_text())["begun_with"]["run"].get("best") == told


def test_damaged_weights_are_refused_by_name(finished):
    """A last.keras that is not a model is an error that names it."""
    recipe, data, run = finished
    (run / "last.keras").write_bytes(b"not a model")
    with pytest.raises(BadModel, match=r"last.keras cannot be read"):
        train(recipe, [data], run, resume=True)


def test_runs_that_are_named_to_be_held_out_must_be_there(data, recipe, tmp_path):
    """A slip in a name would train on what is to score it."""
    with pytest.raises(BadInput, match="7_run7"):
        train(replace(recipe, hold_out=("7_run7", "3_run1")), [data], tmp_path / "run")


def test_data_without_the_recipes_runs_trains_without_a_held_out_score(data, recipe, tmp_path):
    """Somebody else's recordings have none of the runs a recipe holds out: training goes on without them."""
    recipe = replace(recipe, epochs=1, hold_out=HOLD_OUT)
    result = train(recipe, [data], tmp_path / "run")
    assert result["best"]["epoch"] == 1
    assert not _rows(tmp_path / "run")[0]["held_out_final"]
    assert (tmp_path / "run" / "best.keras").exists()


def test_the_sets_taken_and_those_missing_are_told(data, recipe, tmp_path, capsys):
    """What `data fetch` brings is enough for a recipe that names more, and the difference is said on stderr."""
    recipe = replace(recipe, epochs=1, steps=1, folders=("train", "validation", "train_extra"))
    train(recipe, [data / "train", data / "validation"], tmp_path / "run")
    told = capsys.readouterr()
    assert "sets taken: train, validation; named by the recipe but not there: train_extra" in told.err
    assert not told.out


def test_a_run_can_begin_with_a_trained_network(data, recipe, tmp_path):
    """The first loss of such a run is about the last one's, not a new network's; another shape is refused by name."""
    first = train(replace(recipe, steps=20), [data], tmp_path / "first")
    slow = replace(recipe, learning_rate=1e-9, epochs=1)
    begun = train(slow, [data], tmp_path / "begun", init=tmp_path / "first" / "best.keras")
    new = train(slow, [data], tmp_path / "new")
    assert first["best"]["loss"] < new["best"]["loss"]
    assert begun["best"]["val_loss"] < new["best"]["val_loss"]
    told = json.loads((tmp_path / "begun" / "config.json").read_text())["begun_with"]
    assert told["init"].startswith("best.keras ")
    assert told["run"]["recipe"]["steps"] == 20
    other = replace(recipe, spec=replace(recipe.spec, bottleneck=3))
    with pytest.raises(BadModel, match=r"best\.keras cannot be begun with: .*; take a network of the same layers"):
        train(other, [data], tmp_path / "other", init=tmp_path / "first" / "best.keras")
    assert list((tmp_path / "other").iterdir()) == []


@pytest.mark.parametrize("any_size", [False, True])
def test_mistakes_of_a_blind_network_are_the_targets(data, recipe, tmp_path, capsys, any_size):
    """What a network never finds counts as its mistakes; the run tells in how many frames: two of three have her.

    One that takes any size, such as a run's last.keras, is asked at the recipe's.
    """
    blind = build(recipe.spec, any_size=any_size)
    blind.set_weights([weight * 0 for weight in blind.get_weights()])
    blind.save(tmp_path / "blind.keras")
    recipe = replace(recipe, shares=Shares(mistake=0.5))
    train(recipe, [data], tmp_path / "run", mistakes_of=tmp_path / "blind.keras")
    assert "blind.keras is wrong about the target in 12 of the 18 frames" in capsys.readouterr().err


def test_mistakes_are_drawn_by_a_recipe_that_says_so_and_by_no_other(recipe, tmp_path):
    """A share of mistakes without a model and a model without a share are told before data is read."""
    with pytest.raises(BadInput, match="say whose with --mistakes-of"):
        train(replace(recipe, shares=Shares(mistake=0.5)), [tmp_path / "none"], tmp_path / "run")
    with pytest.raises(BadInput, match="leave out --mistakes-of"):
        train(recipe, [tmp_path / "none"], tmp_path / "run", mistakes_of=tmp_path / "some.keras")
    assert not (tmp_path / "run").exists()


def test_only_what_costs_the_score_is_a_mistake():
    """The edge of a target and specks of up to three pixels are none; a second target and a missed one are."""
    target = np.zeros((40, 40), dtype=bool)
    target[10:16, 10:16] = True
    wider = np.zeros_like(target)
    wider[9:17, 9:17] = True
    assert not len(wrong_places(target, wider))
    speck = wider.copy()
    speck[30, 30:33] = True
    assert not len(wrong_places(target, speck))
    second = wider.copy()
    second[30, 30:35] = True
    assert wrong_places(target, second)[:, 0].tolist() == [30] * 5
    assert len(wrong_places(target, np.zeros_like(target))) == target.sum()
    assert not len(wrong_places(np.zeros_like(target), np.zeros_like(target)))
