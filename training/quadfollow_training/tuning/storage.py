"""Where trials are kept, so that several processes and machines can search together and a stopped search goes on."""

from __future__ import annotations

import fcntl
import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage, JournalStorage, RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.storages.journal import JournalFileBackend
from sqlalchemy.exc import SQLAlchemyError

from quadfollow_core.errors import BadInput, Unavailable

HEARTBEAT = 30
"""Seconds between the signs of life of a running trial; one without any for twice as long is given to another."""


def open_storage(where: str) -> BaseStorage:
    """Open a database by its URL, or a journal by its path ending in ``.log``; it is made where it is not there.

    Raises:
        BadInput: not a URL of a database that can be reached.
        Unavailable: the database's driver is not installed.
    """
    if where.endswith(".log"):
        Path(where).parent.mkdir(parents=True, exist_ok=True)
        return JournalStorage(JournalFileBackend(where))
    try:
        with _alone(where), warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return RDBStorage(
                where,
                heartbeat_interval=HEARTBEAT,
                grace_period=2 * HEARTBEAT,
                heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(),
            )
    except ImportError as error:
        raise Unavailable(f"{where} needs a driver that is not installed: {error}") from error
    except (SQLAlchemyError, ValueError, OSError) as error:
        cause = str(error).partition("\n")[0]
        raise BadInput(
            f"{where} cannot be opened ({cause}): give sqlite:///FILE.db, postgresql://..., or FILE.log"
        ) from error


@contextmanager
def _alone(where: str) -> Iterator[None]:
    """Keep other processes from making the tables of the same SQLite file at the same time: all but one would fail."""
    if not where.startswith("sqlite:///"):
        yield
        return
    file = Path(where.removeprefix("sqlite:///"))
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.with_name(f".{file.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def open_search(storage: BaseStorage, name: str, facts: dict[str, object], seed: int | None) -> optuna.Study:
    """Begin a search, or join the one of that name; the sampler goes on from ``seed`` by the trials that are there.

    Raises:
        BadInput: that one searches by other facts: another recipe, budget or data.
    """
    facts = json.loads(json.dumps(facts))
    search = optuna.create_study(
        study_name=name,
        storage=storage,
        direction="maximize",
        load_if_exists=True,
        pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=0),
    )
    seed = None if seed is None else seed + len(search.trials)
    search.sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=8, multivariate=True, constant_liar=True)
    old = search.user_attrs.get("facts")
    changed = [key for key in facts if old and old.get(key, facts[key]) != facts[key]]  # earlier versions noted less
    if changed:
        raise BadInput(f"the search {name!r} there differs in {', '.join(changed)}: give this one another --name")
    if old is None:
        search.set_user_attr("facts", facts)
    return search
