"""A progress bar on stderr, so that stdout stays free for the report."""

from __future__ import annotations

import time
from typing import Any, Self

import keras
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

TELL_EVERY = 60.0
"""Seconds between two lines where there is no terminal."""


class ProgressBar(keras.callbacks.Callback):  # type: ignore[misc]
    """The epoch's steps with the running loss; without a terminal, a line each minute.

    A context manager, so that an interrupted run leaves the terminal as it was.
    """

    def __init__(self, console: Console) -> None:
        super().__init__()
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]:.4f}"),
            TimeRemainingColumn(),
        )
        self.epoch = 0
        self.console = console
        self.told = time.monotonic()
        self.bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self.task = self.bar.add_task("", total=None, loss=0.0)

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.stop()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Begin the bar anew."""
        self.epoch = epoch
        self.bar.reset(self.task, total=self.params["steps"], description=f"epoch {epoch + 1}", loss=0.0)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Advance by one step."""
        loss = float((logs or {}).get("loss", 0.0))
        self.bar.update(self.task, completed=batch + 1, loss=loss)
        if not self.console.is_terminal and time.monotonic() > self.told + TELL_EVERY:
            self.told = time.monotonic()
            self.console.print(f"epoch {self.epoch + 1}: step {batch + 1} of {self.params['steps']}, loss {loss:.4f}")
