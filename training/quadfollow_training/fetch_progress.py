"""Progress bars on stderr for downloads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from quadfollow_training import download


@contextmanager
def progress_bars() -> Iterator[Callable[[str], download.Progress]]:
    """Yield a function that opens a bar for an archive and returns what moves it."""
    columns = (
        TextColumn("{task.description:>24}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:

        def open_bar(name: str) -> download.Progress:
            task = bars.add_task(name, total=None)
            return lambda done, total: bars.update(task, completed=done, total=total)

        yield open_bar
