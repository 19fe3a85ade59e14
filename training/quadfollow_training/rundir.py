"""A run's folder: its configuration, its history, its networks.

``last.keras`` (network and optimiser) is the only state a resumed run starts from: the optimiser's step count says
which epoch it stands at, and rows of ``history.csv`` beyond that epoch are dropped.
"""

from __future__ import annotations

import csv
import hashlib
import json
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from quadfollow_core.errors import BadInput
from quadfollow_core.files import save_whole, write_whole
from quadfollow_core.provenance import git_commit
from quadfollow_training.exported import is_exported, read_exported

PACKAGES = (
    *("keras", "tensorflow", "tensorflow-cpu", "jax", "jaxlib", "torch"),
    *("numpy", "opencv-python", "pillow", "simplejpeg", "quadfollow"),
)
COLUMNS = (
    "epoch",
    "loss",
    "val_loss",
    "learning_rate",
    "seconds",
    "held_out_final",
    "held_out_iou_near",
    "held_out_iou_far",
    "held_out_fp",
    "held_out_fn",
)
TOLD_ON = ("recipe", "begun_with", "averaged", "best", "backend", "data", "sets", "packages", "git_commit")
"""What a run that goes on with another's network keeps of that one's configuration."""
CALLED = {
    "begun_with": "network to begin with",
    "init": "--init",
    "mistakes_of": "--mistakes-of",
    "backend": "KERAS_BACKEND",
}
"""How what decides a run is called to who gives the command, where that is not its name in ``config.json``."""
UNDECIDING = ("run", "hold_out", "workers")
"""What is noted within such a fact and decides nothing: an earlier run's story, of which only the network counts (its
hash is beside it), the runs to hold out if they are there (``held_out_runs`` has those that were) and the threads."""
Row = dict[str, float]


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Where a run keeps its files."""

    path: Path

    @property
    def best(self) -> Path:
        """The network with the best held-out score, without optimiser, at the recipe's input size."""
        return self.path / "best.keras"

    @property
    def last(self) -> Path:
        """Network and optimiser after the last finished epoch."""
        return self.path / "last.keras"

    @property
    def config(self) -> Path:
        """What was run: recipe, versions, commit, data, command."""
        return self.path / "config.json"

    @property
    def history(self) -> Path:
        """One row per finished epoch."""
        return self.path / "history.csv"

    def prepare(self, *, resume: bool) -> None:
        """Make the folder.

        Raises:
            BadInput: it holds a network already and this is not a resumption, or it holds an average, which has none.
        """
        if not resume and (self.last.exists() or self.best.exists()):
            raise BadInput(f"{self.path} holds a network already: choose another --out, or for a run add --resume")
        if resume and self.best.exists() and not self.last.exists() and self._is_average():
            raise BadInput(f"{self.path} holds an average, which cannot be resumed: choose another --out")
        self.path.mkdir(parents=True, exist_ok=True)

    def write_config(self, facts: Mapping[str, Any], surroundings: Mapping[str, Any]) -> None:
        """Save what decides the run's outcome, and the surroundings it runs in; a resumption's go to ``resumed``.

        Raises:
            BadInput: a run begun here was decided by other facts.
        """
        old = self.require_same(facts)
        told = {**facts, **surroundings} if old is None else old | {"resumed": [*old.get("resumed", []), surroundings]}
        write_whole(self.config, json.dumps(told, indent=2) + "\n")

    def require_same(self, facts: Mapping[str, Any]) -> dict[str, Any] | None:
        """Hold what decides the run's outcome against the configuration of the run begun here, and return that, if any.

        Raises:
            BadInput: it was decided by other facts.
        """
        if not self.last.exists():
            return None
        old: dict[str, Any] = json.loads(self.config.read_text(encoding="utf-8"))
        changed = [
            f"{CALLED.get(name, name)} ({_difference(_deciding(before), _deciding(value))})"
            for name, value in json.loads(json.dumps(facts)).items()
            if _deciding(before := old.get(name, value)) != _deciding(value)  # earlier versions noted less
        ]
        if changed:
            raise BadInput(f"{self.path} was begun otherwise and cannot be resumed with another {', '.join(changed)}")
        return old

    def note_best(self, row: Row) -> None:
        """Note of which epoch the best network is, with its held-out score where it was scored."""
        told = json.loads(self.config.read_text(encoding="utf-8"))
        told["best"] = {"epoch": int(row["epoch"])} | {name: row[name] for name in ("held_out_final",) if name in row}
        write_whole(self.config, json.dumps(told, indent=2) + "\n")

    def _is_average(self) -> bool:
        return self.config.exists() and "averaged" in json.loads(self.config.read_text(encoding="utf-8"))

    def read_history(self, epochs: int) -> list[Row]:
        """Read the rows of the first ``epochs`` epochs."""
        if not self.history.exists():
            return []
        with self.history.open(newline="", encoding="utf-8") as file:
            rows = [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]
        return [row for row in rows if row["epoch"] <= epochs]

    def write_history(self, rows: Sequence[Row]) -> None:
        """Save all rows."""

        def write(path: Path) -> None:
            with path.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, COLUMNS)
                writer.writeheader()
                writer.writerows(rows)

        save_whole(self.history, write)


def _deciding(fact: Any) -> Any:
    """A fact without what decides nothing."""
    return {key: value for key, value in fact.items() if key not in UNDECIDING} if isinstance(fact, dict) else fact


def _difference(old: Any, new: Any) -> str:
    """Say what differs, key by key where there are keys."""
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return f"{old}, now {new}"
    return ", ".join(
        f"{CALLED.get(key, key)} {old.get(key, 'nothing')}, now {new.get(key, 'nothing')}"
        for key in old | new
        if old.get(key) != new.get(key)
    )


def file_hash(path: Path) -> str:
    """The first 16 digits of a file's SHA-256."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def earlier(network: Path | None) -> dict[str, Any]:
    """Tell of the run that a network came from: an exported model knows it, another may lie in its run's folder."""
    if network is None:
        return {}
    folder = RunFolder(network.parent)
    if is_exported(network):
        told = read_exported(network)[1].training
    elif not folder.config.is_file():
        return {}
    else:
        told = json.loads(folder.config.read_text(encoding="utf-8"))
        if network.name != folder.best.name:
            told.pop("best", None)
    return {"run": {name: told[name] for name in TOLD_ON if name in told}}


def environment() -> dict[str, Any]:
    """Describe what a run runs on: command, package versions, git commit."""
    return {
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "python": sys.version.split()[0],
        "packages": {name: installed for name in PACKAGES if (installed := _version(name))},
        "git_commit": git_commit(__file__),
    }


def cpu() -> str:
    """The processor's name."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
