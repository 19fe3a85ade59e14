"""The study's results: one small JSON file per arm and seed, in a folder that several processes may share."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quadfollow_core.errors import BadInput, NotFound
from quadfollow_core.files import write_whole
from quadfollow_training.study.arms import ARMS, Arm

Result = dict[str, Any]
SAME = ("pixels", "data")
"""What all results of a folder must agree in, or they could not be compared."""


@dataclass(frozen=True, slots=True)
class Results:
    """The folder."""

    folder: Path

    def path(self, arm: Arm, seed: int) -> Path:
        """Where an arm's result by a seed lies, or will."""
        return self.folder / f"{arm.name}-{seed}.json"

    def read(self, arm: Arm, seed: int) -> Result | None:
        """An arm's result by a seed, or None.

        Raises:
            BadInput: the file is damaged.
        """
        path = self.path(arm, seed)
        if not path.exists():
            return None
        try:
            result: Result = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise BadInput(f"{path} is damaged: delete it, and the study measures that arm again") from error
        return result

    def write(self, arm: Arm, seed: int, result: Result) -> None:
        """Save a result; it is whole or not there."""
        write_whole(self.path(arm, seed), json.dumps(result, separators=(",", ":")) + "\n")

    def by_arm(self) -> dict[str, list[Result]]:
        """Every arm's results, in the order of seeds; arms without any are left out.

        Raises:
            NotFound: there are none at all.
            BadInput: they were measured on other data or budgets than each other.
        """
        found = {arm.name: [result for _, result in self._of(arm)] for arm in ARMS}
        found = {name: results for name, results in found.items() if results}
        if not found:
            raise NotFound(f"no results in {self.folder}: run the study first, with --data")
        require_comparable([result for results in found.values() for result in results], self.folder)
        return found

    def _of(self, arm: Arm) -> Iterator[tuple[int, Result]]:
        seeds = sorted(int(path.stem.rpartition("-")[2]) for path in self.folder.glob(f"{arm.name}-*.json"))
        for seed in seeds:
            result = self.read(arm, seed)
            if result is not None and result["arm"] == arm.name:
                yield seed, result

    @contextmanager
    def claim(self, arm: Arm, seed: int) -> Iterator[bool]:
        """Claim an arm and seed for this process: False where another process is at it. A killed one's claim ends."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = self.folder / f".{arm.name}-{seed}.lock"
        with lock.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True
            lock.unlink(missing_ok=True)


def require_comparable(results: Sequence[Result], folder: Path) -> None:
    """Refuse results of several budgets or data sets.

    Raises:
        BadInput: there are such.
    """
    for name in SAME:
        different = {json.dumps(result[name], sort_keys=True) for result in results}
        if len(different) > 1:
            raise BadInput(f"the results in {folder} differ in {name}: choose another --out, or delete the old ones")
