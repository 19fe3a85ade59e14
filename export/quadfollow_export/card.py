"""The model card: what a stranger needs to know before using the model, written from its contract alone."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from quadfollow_core.contract import CLASSES, Contract
from quadfollow_core.files import write_whole
from quadfollow_core.shipped import PRECISIONS, lower_precision
from quadfollow_export.graph import read_model

Rows = Iterable[Iterable[object]]


def write_card(contract: Contract, model: Path, variants: Mapping[Path, Contract] | None = None) -> str:
    """Write the card of a model file, with its variants of lower precision, as Markdown."""
    parts = [
        _title(contract, model),
        _use(contract, model),
        _variants(contract, model, variants or {}),
        _training(contract.training),
        _score(contract.score),
        _parity(contract.checks),
        _limits(contract.training),
        _licence(contract.training),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _title(contract: Contract, model: Path) -> str:
    checks = contract.checks
    facts = [
        ("input", f"`image` uint8 `[N, {contract.height}, {contract.width}, 3]`, RGB, any number of frames"),
        ("outputs", f"`classes` and `target_probability`, uint8 `[N, {contract.height}, {contract.width}]`"),
        ("classes", ", ".join(f"{index} {name}" for index, name in enumerate(CLASSES))),
        ("decision rule", f"probability ≥ {contract.rule.threshold}/255 on {contract.rule.min_area} pixels or more"),
        *((("a frame's surest pixel", _lead(contract.least_lead)),) if contract.least_lead else ()),
        ("parameters", _count(checks.get("parameters"))),
        ("multiply-accumulates per frame", _count(checks.get("macs"))),
        ("ONNX opset", checks.get("opset", "unknown")),
        ("exported at commit", _commit(contract.commit)),
    ]
    return (
        f"# {contract.name}\n\n"
        "Segments a camera frame into background, people and the one person to follow, for a quadcopter that follows "
        "that person. Written by `quadfollow export`; the same facts stand, machine-readable, in the file's metadata "
        f"under the key `quadfollow`.\n\n{_table(('', model.name), facts)}"
    )


def _lead(least: float) -> str:
    return (
        f"leads the other classes by {least:g} in logits (probability {1 / (1 + math.exp(-least)):.4f}), or the frame "
        "holds no target; the graph itself sees to it"
    )


def _use(contract: Contract, model: Path) -> str:
    return f"""## Use

```sh
quadfollow serve --model {model.name}
```

or with onnxruntime alone, on frames brought to {contract.width}x{contract.height} by area averaging (normalisation is
inside the graph):

```python
import onnxruntime

session = onnxruntime.InferenceSession("{model.name}", providers=["CPUExecutionProvider"])
classes, target_probability = session.run(None, {{"image": frames}})
```

`target_probability` is floor(255·p), so `target_probability >= 128` is exactly the official decision."""


def tell_variants(model: Path) -> None:
    """Write a model's card anew, with the variants that were made of exactly this version of it."""
    data, _, contract = read_model(model)
    version = hashlib.sha256(data).hexdigest()[:12]
    there = [lower_precision(model, precision) for precision in PRECISIONS]
    found = {path: read_model(path)[2] for path in there if path.is_file()}
    current = {path: lower for path, lower in found.items() if lower.variant_of == version}
    write_whole(model.with_suffix(".md"), write_card(contract, model, current).encode())


def _variants(contract: Contract, model: Path, variants: Mapping[Path, Contract]) -> str:
    if not variants:
        return ""
    rows = [(f"`{model.name}`", "32-bit floats", _kilobytes(model), _final(contract), "", "")]
    for path, lower in variants.items():
        told = lower.checks["variant"]
        loss, engine = told["loss"], ENGINES[told["precision"]]
        shares = (f"{loss['class_share']:.2g}", f"{loss['target_share']:.2g}")
        rows.append((f"`{path.name}`", engine, _kilobytes(path), _final(lower), *shares))
    head = ("file", "computes in", "size", "official score", "pixels with another class", "of the target's pixels")
    return (
        f"## Variants\n\n{_table(head, rows)}\n\nThe server takes the one that is fastest on its device, see "
        "`quadfollow bench`. The differences are shares, against the model's own answers to the same frames. Processors"
        " round in their own ways, and some also run the first file in 16-bit floats (`--variant bf16`): what each way "
        "scores on a machine tells `python benchmarks/precisions.py --data DIR`, and on one docs/benchmarks.md."
    )


ENGINES = {
    "fp16": "16-bit floats, for GPUs",
    "int8": "8-bit integers, for OpenVINO",
    "int8-fused": "8-bit integers in fewer steps, for OpenVINO on processors with AMX",
}


def _kilobytes(path: Path) -> str:
    return f"{path.stat().st_size / 1000:,.0f} kB"


def _final(contract: Contract) -> str:
    return f"{contract.score['final']:.4f}" if contract.score else "not scored"


def _training(training: dict[str, Any]) -> str:
    if not training:
        return "## Training\n\nNothing is known: the network was exported from a file without its run's folder."
    recipe, data, sets = training.get("recipe", {}), training.get("data", {}), _sets(training)
    facts = [
        ("recipe", recipe.get("name", "unknown")),
        *_beginnings(training.get("begun_with", {})),
        *((("averaged", _averaged(training["averaged"])),) if "averaged" in training else ()),
        ("steps", STEPS.format_map(_Unknown(recipe))),
        *((("network", _best(training["best"], recipe)),) if "best" in training else ()),
        ("learning rate", RATE.format_map(_Unknown(recipe))),
        ("augmentations", ", ".join(recipe.get("augmentations", ())) or "none"),
        ("data sets", ", ".join(sets) or "all that were given"),
        ("frames", data.get("frames", "unknown")),
        ("data fingerprint", f"`{str(data.get('fingerprint', 'unknown'))[:16]}`"),
        ("runs held out", ", ".join(training.get("held_out_runs", ())) or "none"),
        ("trained at commit", _commit(training.get("git_commit") or "unknown")),
        *((("resumed", _resumed(training["resumed"])),) if training.get("resumed") else ()),
    ]
    command = f"\n\n```sh\n{training['command']}\n```" if "command" in training else ""
    private = (
        "\n\n`train_extra` is private recordings that strangers cannot download, so this training cannot be repeated "
        "from public data alone."
        if "train_extra" in sets
        else ""
    )
    return f"## Training\n\n{_table(('', ''), facts)}{command}{private}"


def _sets(training: dict[str, Any]) -> Sequence[str]:
    """The data sets that were taken; of runs that did not note them, those that the recipe names."""
    return training.get("sets") or training.get("recipe", {}).get("folders") or ()


STEPS = "{epochs} epochs of {steps} batches of {batch}"
RATE = "{learning_rate}, {schedule}"


def _beginnings(told: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The networks that a run began with and drew the mistakes of, and so back to the first run of all."""
    words = "began with"
    while "init" in told:
        yield words, _beginning(told)
        if "mistakes_of" in told:
            yield "drew more of the mistakes of", told["mistakes_of"]
        told, words = told.get("run", {}).get("begun_with", {}), "which began with"


def _beginning(told: dict[str, Any]) -> str:
    """A network that a run began with, and how it was trained."""
    if "run" not in told:
        return str(told["init"])
    recipe, frames = told["run"].get("recipe", {}), told["run"].get("data", {}).get("frames", "unknown")
    how = f"{_taken(told)}{STEPS}, {RATE}".format_map(_Unknown(recipe))
    sets = f" of {', '.join(told['run']['sets'])}" if "sets" in told["run"] else ""
    mixed = f"; averaged: {_averaged(told['run']['averaged'])}" if "averaged" in told["run"] else ""
    return f"{told['init']}, of recipe {recipe.get('name', 'unknown')}: {how}; {frames} frames{sets}{mixed}"


def _taken(told: dict[str, Any]) -> str:
    """Which of a run's networks was begun with, where that is not the last; older runs did not note its epoch."""
    if "best" in told["run"]:
        return f"epoch {told['run']['best']['epoch']} of "
    return "the best of " if told["init"].startswith("best.keras ") and "averaged" not in told["run"] else ""


def _best(told: dict[str, Any], recipe: dict[str, Any]) -> str:
    """The epoch that a run's network is of, and by what it was chosen."""
    score = told.get("held_out_final")
    chosen = "the last that was trained" if score is None else f"the best by the held-out score ({score:.4f})"
    return f"epoch {told['epoch']} of {recipe.get('epochs', 'unknown')}, {chosen}"


def _resumed(sessions: Sequence[dict[str, Any]]) -> str:
    """How often a run was gone on with, and at which commits."""
    commits = dict.fromkeys(_commit(session.get("git_commit") or "unknown") for session in sessions)
    return f"{len(sessions)} time(s), at {', '.join(commits)}"


def _averaged(told: dict[str, Any]) -> str:
    """How a run's network was mixed with the one it began with."""
    score = told.get("held_out_final", {}).get(str(told.get("share")))
    chosen = "" if score is None else f", chosen by the held-out score ({score:.4f})"
    return f"{told.get('share')} of the run's last network, the rest {told.get('with')}{chosen}"


class _Unknown(dict[str, Any]):
    """Says so where a run's configuration lacks a value."""

    def __missing__(self, key: str) -> str:
        return "unknown"


def _score(score: dict[str, Any]) -> str:
    if not score:
        return "## Official score\n\nNot scored."
    sets = [
        (name, *(part[key] for key in ("n", "tp", "fp", "fn")), *(f"{part[key]:.4f}" for key in _IOUS))
        for name, part in score.get("sets", {}).items()
    ]
    sizes = [
        (name, size, row["frames"], f"{row['detected'] / row['frames']:.0%}", f"{row['iou']:.3f}")
        for name, part in score.get("sets", {}).items()
        for size, row in sorted(part.get("by_size", {}).items(), key=_smallest)
    ]
    heading = f"## Official score\n\nFinal score **{score['final']:.4f}**"
    if "weight" in score:
        heading += f" = weight {score['weight']:.4f} × IoU {score['final_iou']:.4f}"
    heading += f", official threshold, {OFFICIAL}."
    if not sets:
        return heading
    by_set = _table(("set", "frames", "TP", "FP", "FN", "IoU target", "people", "ground"), sets)
    by_size = _table(("set", "target's pixels", "frames", "found", "IoU"), sizes)
    return f"{heading}\n\n{by_set}\n\nBy the target's size, in pixels of the mask:\n\n{by_size}"


OFFICIAL = "official evaluation sets (never trained on; they had a part only in refusing candidates and variants)"
_IOUS = ("iou_hero", "iou_people", "iou_bg")


def _smallest(size: tuple[str, Any]) -> int:
    """The lower end of a range of sizes such as ``10-19`` or ``320+``; a file's metadata keeps them in no order."""
    return int(size[0].rstrip("+").partition("-")[0])


def _parity(checks: dict[str, Any]) -> str:
    proof = checks.get("parity")
    if not proof:
        return ""
    rows = [
        ("frames", proof["frames"]),
        ("largest probability difference", f"{proof['probability']:.2g}"),
        ("share of pixels with another class", f"{proof['class_share']:.2g}"),
        ("share of pixels with another `target_probability`", f"{proof['level_share']:.2g}"),
        ("largest difference between batches of 1 and of 3", f"{proof['batch']:.2g}"),
    ]
    rows += [(f"negative control: {name}", f"{found:.2g}") for name, found in proof["control"].items()]
    scores = {"target's IoU on these frames": proof.get("target_iou"), "official score": checks.get("official_score")}
    rows += [
        (f"{name}, Keras / ONNX", f"{found['keras']:.5f} / {found['onnx']:.5f}")
        for name, found in scores.items()
        if found
    ]
    return f"## Keras against ONNX\n\n{_table(('', ''), rows)}"


QUADSIM = frozenset({"train", "validation", "train_extra"})
"""Sets of frames of Udacity's simulator."""


def _limits(training: dict[str, Any]) -> str:
    """What is not promised; of the frames more is known where they were QuadSim's."""
    is_quadsim = QUADSIM.intersection(_sets(training))
    return LIMITS.format(kind="of one simulated city and one target" if is_quadsim else "that its trainer chose")


def _licence(training: dict[str, Any]) -> str:
    """Whose the weights are: the maintainers', or of whoever trained them, on top of the maintainers' or not."""
    if QUADSIM.intersection(_sets(training)):
        return LICENCE
    while "run" in training.get("begun_with", {}):
        training = training["begun_with"]["run"]
        if QUADSIM.intersection(_sets(training)):
            return OWN_LICENCE + BEGUN
    return OWN_LICENCE + (UNKNOWN if "init" in training.get("begun_with", {}) else "")


LIMITS = """## Limits and failures

- Trained on frames {kind}. On photographs, other simulators or other
  clothes nothing is promised: score it there first.
- Small targets are missed most: see the table by size. A person of fewer than some 20 pixels in a 256x256 frame
  is found rarely.
- Other people are sometimes taken for the target; false positives are counted above, and docs/city.md shows some of
  the shipped models' with pictures.
- It segments single frames and knows nothing of the frame before.
- It is a research model: no safety function may rest on it."""

LICENCE = """## Licence

The code and these weights are the quadfollow maintainers' and under the MIT licence. The weights were learned from
recordings of Udacity's QuadSim simulator. Udacity published them without a licence known to us; they are not part of
this project and not distributed with it. Whether that limits a use of the weights is for the user to judge."""


BEGUN = """ They began as weights of the quadfollow maintainers (MIT licence), which
learned from recordings of Udacity's QuadSim simulator, published without a licence known to us."""

UNKNOWN = """ They began as weights of a network of which it is
not known what it was trained on, nor whose it is."""

OWN_LICENCE = """## Licence

What may be done with these weights is for whoever trained them to say, and for whoever owns the frames that they were
learned from."""


def _table(head: Iterable[object], rows: Rows) -> str:
    head = list(head)
    lines = [_row(head), _row("---" for _ in head), *(_row(row) for row in rows)]
    return "\n".join(lines)


def _row(cells: Iterable[object]) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def _commit(name: str) -> str:
    """Shorten a commit; that the checkout was changed stays said."""
    commit, dirty, _ = name.partition("-dirty")
    return f"`{commit[:12]}{dirty}`"


def _count(value: int | None) -> str:
    return "unknown" if value is None else f"{value:,}"
