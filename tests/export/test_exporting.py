"""An export from end to end: what is written, what it says, and when nothing is written."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnxruntime
import pytest
from tests.export.conftest import SIZE, build_network

from quadfollow_core import provenance
from quadfollow_core.codec import encode_jpeg, encode_png
from quadfollow_core.contract import Contract
from quadfollow_core.errors import BadDataset, BadInput, BadModel, ExportRefused, NotFound
from quadfollow_core.provenance import git_commit
from quadfollow_core.resize import TARGET, channels_from_classes
from quadfollow_core.scoring import EVALUATION, SETS
from quadfollow_core.shipped import shipped_models
from quadfollow_export.card import tell_variants, write_card
from quadfollow_export.exporting import Options, export_network
from quadfollow_export.frames import recorded
from quadfollow_export.official import official_scores
from quadfollow_export.parity import Tolerances, measure
from quadfollow_export.source import Source, find_source, load_network
from quadfollow_training.fcn import Spec, build

FEW = 4


def contract_in(model: Path) -> Contract:
    """Read a model's contract as the server does."""
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    return Contract.from_metadata(session.get_modelmeta().custom_metadata_map)


def test_a_run_becomes_a_model_its_float_variant_and_a_card(run_folder: Path, tmp_path: Path) -> None:
    """The contract inside both files is the one reported, and holds what the run's folder tells."""
    out = tmp_path / "models" / "follow.onnx"
    exported = export_network(run_folder, out, Options(frames=FEW))
    assert exported.float_model == run_folder / "export" / "follow.float.onnx"
    contract = contract_in(out)
    assert contract == exported.contract == contract_in(exported.float_model)
    assert (contract.name, contract.size) == ("follow", SIZE)
    assert contract.training["recipe"]["name"] == "tiny"
    assert contract.training["held_out_runs"] == ["0_run6"]
    assert contract.training["command"] == "quadfollow train --data frames", "folders of this machine leak"
    assert contract.checks["parity"]["probability"] < 1e-4
    assert contract.checks["parameters"] == build_network().count_params()
    assert contract.checks["macs"] > 0
    assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?|unknown", contract.commit)
    card = out.with_suffix(".md").read_text()
    for expected in ("# follow\n", "tiny", "0_run6", "Not scored", "rendered frames", "MIT", str(contract.width)):
        assert expected in card
    assert sorted(path.name for path in out.parent.iterdir()) == ["follow.md", "follow.onnx"]


def test_recorded_frames_and_the_official_score_go_into_the_contract(
    run_folder: Path, evaluation: Path, tmp_path: Path
) -> None:
    """Scored on the three sets, Keras and ONNX alike; parity looks at frames of the same folder."""
    out = tmp_path / "x.onnx"
    contract = export_network(run_folder, out, Options(frames=FEW, evaluate=evaluation)).contract
    assert contract.checks["parity"]["frames"] == "4 frames of evaluation"
    assert contract.score["final"] == pytest.approx(contract.checks["official_score"]["keras"], abs=1e-3)
    assert [part["n"] for part in contract.score["sets"].values()] == [3, 3, 3]
    card = out.with_suffix(".md").read_text()
    assert f"Final score **{contract.score['final']:.4f}**" in card
    assert "| following_images | 3 |" in card
    assert "train_extra" not in card


def write_wide(folder: Path) -> Path:
    """Evaluation sets of 64 x 32 frames: black, with a white square that is the target."""
    for name in SETS:
        mask = np.zeros((32, 64), np.uint8)
        mask[8:20, 20:36] = TARGET
        for kind in ("images", "masks"):
            (folder / name / kind).mkdir(parents=True)
        for index in range(3):
            frame = np.repeat((mask > 0).astype(np.uint8)[..., None] * 255, 3, axis=2)
            (folder / name / "images" / f"{index}.jpeg").write_bytes(encode_jpeg(frame, quality=100))
            picture = channels_from_classes(mask).astype(np.uint8) * 255
            (folder / name / "masks" / f"{index}.png").write_bytes(encode_png(picture))
    return folder


def test_letterboxed_predictions_are_scored_without_their_bars(tmp_path: Path) -> None:
    """A predictor that marks exactly the target scores fully on frames that a square model letterboxes."""

    def mark(frames: Any) -> list[Any]:
        target = (frames[..., 0] > 128).astype(np.float32)
        return [np.stack([1 - target, 0 * target, target], axis=-1)]

    def answer(frames: Any) -> list[Any]:
        (marked,) = mark(frames)
        return [marked.argmax(axis=-1).astype(np.uint8), (marked[..., TARGET] * 255).astype(np.uint8)]

    folder = write_wide(tmp_path / EVALUATION)
    scores = official_scores({"keras": mark}, folder, (64, 64))
    assert official_scores({"keras": mark}, tmp_path, (64, 64)) == scores, "the folder that they lie in will do"
    with pytest.raises(BadDataset, match="no official evaluation sets"):
        official_scores({"keras": mark}, folder / SETS[0], (64, 64))
    assert scores["keras"].final_iou == pytest.approx(1, abs=0.03)
    assert scores["keras"].sets["following_images"]["iou_bg"] == pytest.approx(1, abs=0.01)
    proof = measure(mark, answer, mark, recorded(tmp_path, 4, (64, 64)))
    assert proof.target_iou == {"keras": pytest.approx(1, abs=0.03), "onnx": pytest.approx(1, abs=0.03)}


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("/home/me/secret/quadsim", "quadsim"),
        ("--data=/home/me/secret/quadsim", "--data=quadsim"),
        ("--data=../../secret/quadsim", "--data=quadsim"),
        ("-o/home/me/runs/x", "-ox"),
        ("--out=runs/x", "--out=runs/x"),
        ("recipes/tiny.toml", "recipes/tiny.toml"),
        ("--schedule=1/2", "--schedule=1/2"),
        ("runs/my run", "'runs/my run'"),
    ],
)
def test_folders_outside_the_checkout_are_not_told(word: str, told: str) -> None:
    """A path that leads out of the checkout keeps its last name only, however it was written."""
    source = Source(Path("best.keras"), "x", {"command": ["train", word]})
    assert source.training["command"] == f"train {told}"


def test_the_commit_is_that_of_tracked_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file in git has a commit, marked once something changed; one beside it, or a machine without git, has none."""
    if shutil.which("git") is None:
        pytest.skip("no git")
    module = tmp_path / "module.py"
    module.write_text("first")
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false")
    for words in (("init", "-q"), ("add", "module.py"), (*identity, "commit", "-qm", "first")):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    commit = git_commit(module)
    assert commit is not None
    assert re.fullmatch("[0-9a-f]{40}", commit)
    module.write_text("second")
    assert git_commit(str(module)) == f"{commit}-dirty"
    assert git_commit(tmp_path / "untracked.py") is None
    monkeypatch.setattr(provenance.shutil, "which", lambda name: None)
    assert git_commit(module) is None


def test_without_git_the_commit_is_unknown(run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An export from a package that is not in git says so in contract and card."""
    monkeypatch.setenv("PATH", str(tmp_path))
    exported = export_network(run_folder, tmp_path / "x.onnx", Options(frames=FEW))
    assert exported.contract.commit == "unknown"
    assert "| exported at commit | `unknown` |" in exported.card.read_text()


def test_a_changed_checkout_shows_in_the_card(tmp_path: Path) -> None:
    """The card shortens a commit but keeps its mark."""
    contract = Contract(name="x", width=8, height=8, commit="c" * 40 + "-dirty")
    assert f"`{'c' * 12}-dirty`" in write_card(contract, tmp_path / "x.onnx")


def test_the_card_lists_targets_from_small_to_large(tmp_path: Path) -> None:
    """In whatever order a file's metadata keeps the sizes."""
    part = {"n": 3, "tp": 3, "fp": 0, "fn": 0, "iou_hero": 1.0, "iou_people": 1.0, "iou_bg": 1.0}
    sizes = {size: {"frames": 1, "detected": 1, "iou": 1.0} for size in ("10-19", "320+", "4-9", "80-159")}
    score = {"final": 1.0, "sets": {"patrol_with_targ": part | {"by_size": sizes}}}
    card = write_card(Contract(name="x", width=8, height=8, score=score), tmp_path / "x.onnx")
    assert re.findall(r"\| patrol_with_targ \| ([\d+-]{3,}) \|", card) == ["4-9", "10-19", "80-159", "320+"]


def test_the_card_tells_of_which_epoch_a_network_is(run_folder: Path, tmp_path: Path) -> None:
    """A run's best network is not its last; one of a run that did not note its epoch is told as its best."""
    config = json.loads((run_folder / "config.json").read_text())
    config |= {"best": {"epoch": 12, "held_out_final": 0.649}, "recipe": config["recipe"] | {"epochs": 18}}
    (run_folder / "config.json").write_text(json.dumps(config))
    shutil.copy(run_folder / "best.keras", run_folder / "last.keras")
    assert "best" not in find_source(run_folder / "last.keras").training
    training = find_source(run_folder).training

    def card(told: dict[str, Any]) -> str:
        return write_card(Contract(name="x", width=8, height=8, training=told), tmp_path / "x.onnx")

    assert "| network | epoch 12 of 18, the best by the held-out score (0.6490) |" in card(training)
    assert "| network | epoch 12 of 18, the last that was trained |" in card(training | {"best": {"epoch": 12}})
    assert "recipe tiny: epoch 12 of 18 epochs of" in card({"begun_with": {"init": "best.keras 11", "run": training}})
    del training["best"]
    assert "recipe tiny: the best of 18 epochs of" in card({"begun_with": {"init": "best.keras 11", "run": training}})
    mean = training | {"averaged": {"share": 0.5, "with": "a.keras 11"}}
    for begun in ({"init": "last.keras 11", "run": training}, {"init": "best.keras 11", "run": mean}):
        assert "recipe tiny: 18 epochs of" in card({"begun_with": begun})


def test_the_shipped_cards_are_what_their_models_tell(tmp_path: Path) -> None:
    """No card says by hand what its model does not."""
    folder = shutil.copytree(shipped_models()[0].parent, tmp_path / "models")
    written = {path: path.read_text(encoding="utf-8") for path in folder.glob("*.md")}
    for path in written:
        tell_variants(path.with_suffix(".onnx"))
    assert {path: path.read_text(encoding="utf-8") for path in written} == written


def test_the_card_tells_of_every_run_back_to_the_first(tmp_path):
    """A network that went on with another, which had gone on with a third, has all of them in its card."""
    first = {"recipe": {"name": "crops", "epochs": 5}, "begun_with": {}}
    second = {"recipe": {"name": "follow", "epochs": 15}, "begun_with": {"init": "a.keras 11", "run": first}}
    training = {"begun_with": {"init": "b.keras 22", "mistakes_of": "c.onnx 33", "run": second}}
    card = write_card(Contract(name="x", width=8, height=8, training=training), tmp_path / "x.onnx")
    told = [row for row in card.splitlines() if row.startswith(("| began", "| drew", "| which"))]
    assert [row.split("|")[1].strip() for row in told] == [
        "began with",
        "drew more of the mistakes of",
        "which began with",
    ]
    assert "b.keras 22, of recipe follow: 15 epochs" in told[0]
    assert "c.onnx 33" in told[1]
    assert "a.keras 11, of recipe crops: 5 epochs" in told[2]


def test_the_card_tells_of_sessions_and_of_the_sets_and_averaging_before(tmp_path: Path) -> None:
    """A run that was gone on with says at which commits, without the folders of its machine."""
    sessions = [
        {"command": ["quadfollow", "train", "--data", "/home/me/secret"], "git_commit": "d" * 40, "python": "3"}
    ]
    training = Source(Path("best.keras"), "x", {"resumed": sessions}).training
    assert training["resumed"] == [{"command": "quadfollow train --data secret", "git_commit": "d" * 40}]
    run = {"recipe": {"name": "follow"}, "sets": ["street"], "averaged": {"share": 0.5, "with": "a.keras 11"}}
    training |= {"begun_with": {"init": "b.keras 22", "run": run}}
    card = write_card(Contract(name="x", width=8, height=8, training=training), tmp_path / "x.onnx")
    assert f"| resumed | 1 time(s), at `{'d' * 12}` |" in card
    assert "frames of street; averaged: 0.5 of the run's last network, the rest a.keras 11 |" in card


def test_a_card_says_of_ones_own_model_what_is_true_of_it(tmp_path):
    """Whose the weights are and which frames they know depends on what they were trained on, and on what before."""
    shipped = {"recipe": {"folders": ["train", "train_extra"]}}
    own = {"recipe": {"folders": None}, "sets": ["blue"]}
    public = {"recipe": {"folders": ["train", "train_extra"]}, "sets": ["train"]}

    def card(training):
        return write_card(Contract(name="x", width=8, height=8, training=training), tmp_path / "x.onnx")

    assert "weights are the quadfollow maintainers'" in card(shipped)
    assert "`train_extra` is private" in card(shipped)
    assert "train_extra" not in card(public)
    assert "| data sets | blue |" in card(own)
    assert "maintainers" not in card(own)
    assert "They began as weights of the quadfollow maintainers" in card(
        own | {"begun_with": {"init": "a", "run": shipped}}
    )
    more = {"recipe": {"folders": None}, "sets": ["train"]}
    assert "They began as weights of the quadfollow maintainers" in card(
        own | {"begun_with": {"init": "a", "run": more}}
    )
    assert "not known what it was trained on" in card(own | {"begun_with": {"init": "a"}})
    assert "They began" not in card(own | {"begun_with": {"mistakes_of": "a"}})


def test_a_refused_export_writes_nothing_and_keeps_what_was_there(run_folder: Path, tmp_path: Path) -> None:
    """Out of tolerance, the target path is as it was."""
    out = tmp_path / "models" / "x.onnx"
    strict = Options(frames=FEW, tolerances=Tolerances(probability=0.0))
    with pytest.raises(ExportRefused, match="largest probability difference"):
        export_network(run_folder, out, strict)
    assert not out.parent.exists()
    assert not (run_folder / "export").exists()
    out.parent.mkdir()
    out.write_bytes(b"the model before")
    with pytest.raises(ExportRefused):
        export_network(run_folder, out, strict)
    assert out.read_bytes() == b"the model before"


def test_another_size_is_the_same_network(run_folder: Path, tmp_path: Path) -> None:
    """A size that is asked for is exported with the same weights."""
    out = tmp_path / "x.onnx"
    assert export_network(run_folder, out, Options(frames=FEW, size=(64, 64))).contract.size == (64, 64)
    classes, _ = onnxruntime.InferenceSession(str(out), providers=["CPUExecutionProvider"]).run(
        None, {"image": np.zeros((2, 64, 64, 3), np.uint8)}
    )
    assert classes.shape == (2, 64, 64)


def test_a_keras_file_of_open_size_needs_one(tmp_path: Path) -> None:
    """Without a run's folder and without a size of its own, the size must be given."""
    network = build_network(size=(None, None))
    network.save(tmp_path / "open.keras")
    source = find_source(tmp_path / "open.keras")
    assert (source.name, source.training) == ("open", {})
    with pytest.raises(BadModel, match="--size"):
        load_network(source)
    sized, size = load_network(source, (64, 32))
    assert (size, sized.inputs[0].shape) == ((64, 32), (None, 32, 64, 3))
    for expected, actual in zip(network.get_weights(), sized.get_weights(), strict=True):
        assert np.array_equal(expected, actual)


def test_what_is_no_network_is_named(tmp_path: Path) -> None:
    """A missing file, a folder without one and a file of noise each say what is wrong."""
    with pytest.raises(NotFound, match=r"best\.keras"):
        find_source(tmp_path)
    (tmp_path / "noise.keras").write_bytes(b"noise")
    with pytest.raises(BadModel, match="not a Keras network"):
        load_network(find_source(tmp_path / "noise.keras"))
    (tmp_path / "config.json").write_text("[1")
    with pytest.raises(BadModel, match="cannot be read"):
        find_source(tmp_path / "noise.keras")


def test_the_last_network_of_a_run_on_jax_names_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Training's own layers are not known here, and no best.keras has them."""
    network = build(Spec(input_size=(32, 32), encoders=(4,), bottleneck=4, decoders=(4,)), shifted=True)
    network.save(tmp_path / "last.keras")
    monkeypatch.delitem(keras.saving.get_custom_objects(), "quadfollow>ShiftedSeparableConv2D")
    with pytest.raises(BadModel, match=r"layers for JAX: give its run's best\.keras"):
        load_network(find_source(tmp_path / "last.keras"))


@pytest.mark.parametrize(
    ("dtype", "filters", "message"),
    [("float32", 3, "expected uint8"), ("uint8", 4, "expected .*3")],
)
def test_a_network_of_another_form_is_refused(tmp_path: Path, dtype: str, filters: int, message: str) -> None:
    """Input and output are checked before anything is converted."""
    image = keras.Input((32, 32, 3), dtype=dtype)
    answer = keras.layers.Conv2D(filters, 1, activation="softmax")(keras.layers.Rescaling(1 / 255)(image))
    keras.Model(image, answer).save(tmp_path / "odd.keras")
    with pytest.raises(BadModel, match=message):
        load_network(find_source(tmp_path / "odd.keras"))


def test_too_few_frames_are_refused() -> None:
    """Batches cannot be compared on two frames."""
    with pytest.raises(BadInput, match="at least 3 frames"):
        Options(frames=2)


def test_the_file_must_be_an_onnx_file(run_folder: Path, tmp_path: Path) -> None:
    """A card would overwrite a model written as .md."""
    with pytest.raises(BadInput, match=r"\.onnx"):
        export_network(run_folder, tmp_path / "x.md")
    with pytest.raises(BadInput, match="would overwrite the model"):
        export_network(run_folder, tmp_path / "x.onnx", Options(float_path=tmp_path / "x.onnx"))


def test_unreadable_frames_are_named(run_folder: Path, evaluation: Path, tmp_path: Path) -> None:
    """A damaged frame or mask is a fault of the data, and is named."""
    for damaged in ("images/1.jpeg", "masks/1.png"):
        path = evaluation / "patrol_non_targ" / damaged
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(BadDataset, match=damaged.replace(".", r"\.")):
            export_network(run_folder, tmp_path / "x.onnx", Options(frames=FEW, evaluate=evaluation))
        path.write_bytes(whole)
    with pytest.raises(NotFound, match="no frames in"):
        export_network(run_folder, tmp_path / "x.onnx", Options(data=tmp_path / "nowhere"))


def test_the_contract_survives_as_json(run_folder: Path, tmp_path: Path) -> None:
    """What the command prints is plain JSON."""
    told: dict[str, Any] = export_network(run_folder, tmp_path / "x.onnx", Options(frames=FEW)).as_dict()
    assert json.loads(json.dumps(told))["contract"]["checks"]["opset"] >= 17
