"""A progress bar on stderr, so that stdout stays free for the report."""

from __future__ import annotations

from typing import Any

import keras
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class ProgressBar(keras.callbacks.Callback):  # type: ignore[misc]
    """One bar per epoch with the running loss; without a terminal, nothing (each epoch's summary is logged)."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self.console = console

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Open the epoch's bar."""
        self.epoch = epoch
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]:.4f}"),
            TimeRemainingColumn(),
        )
        self.bar = Progress(*columns, console=self.console, transient=True, disable=not self.console.is_terminal)
        self.bar.start()
        self.task = self.bar.add_task(f"epoch {epoch + 1}", total=self.params["steps"], loss=0.0)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Advance by one step."""
        self.bar.update(self.task, completed=batch + 1, loss=float((logs or {}).get("loss", 0.0)))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Close the bar."""
        self.bar.stop()
