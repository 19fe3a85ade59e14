"""Where trials are kept, so that several processes and machines can search together and a stopped search goes on."""

from __future__ import annotations

import warnings
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
    if where.startswith("sqlite:///"):
        Path(where.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return RDBStorage(
                where,
                heartbeat_interval=HEARTBEAT,
                grace_period=2 * HEARTBEAT,
                heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(),
            )
    except ImportError as error:
        raise Unavailable(f"{where} needs a driver that is not installed: {error}") from error
    except (SQLAlchemyError, ValueError) as error:
        raise BadInput(f"{where} cannot be opened: give sqlite:///FILE.db, postgresql://..., or FILE.log") from error


def open_search(storage: BaseStorage, name: str, facts: dict[str, object], seed: int | None) -> optuna.Study:
    """Begin a search, or join the one of that name.

    Raises:
        BadInput: that one searches by other facts: another recipe, budget or data.
    """
    search = optuna.create_study(
        study_name=name,
        storage=storage,
        direction="maximize",
        load_if_exists=True,
        sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=8, multivariate=True, constant_liar=True),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=0),
    )
    old = search.user_attrs.get("facts")
    if old not in (None, facts):
        changed = ", ".join(key for key in facts if old.get(key) != facts[key])
        raise BadInput(f"the search {name!r} there differs in {changed}: give this one another --name")
    if old is None:
        search.set_user_attr("facts", facts)
    return search
