"""Progress of long work: a live bar on a terminal, plain lines in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

PLAIN_INTERVAL_S = 10.0


class Task:
    """One piece of long work. Written to stderr, so that stdout stays for results."""

    def __init__(self, title: str, total: int) -> None:
        self._title = title
        self._total = total
        self._done = 0
        self._note = ""
        self._started = self._said = time.monotonic()
        self._live: Progress | None = None
        self._id = TaskID(0)

    def __enter__(self) -> Task:
        if sys.stderr.isatty():
            self._live = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
                console=Console(stderr=True),
                transient=True,
            )
            self._live.start()
            self._id = self._live.add_task(self._title, total=self._total, note="")
        return self

    def advance(self, steps: int = 1, note: str | None = None) -> None:
        """`steps` more are done; `note` is shown beside the bar (a loss, a file's number)."""
        self._done += steps
        if note is not None:
            self._note = note
        if self._live is not None:
            self._live.update(self._id, advance=steps, note=self._note)
            return
        now = time.monotonic()
        if now - self._said >= PLAIN_INTERVAL_S:
            self._said = now
            self._line(f"{self._done}/{self._total}")

    def _line(self, state: str) -> None:
        elapsed = time.monotonic() - self._started
        note = f", {self._note}" if self._note else ""
        sys.stderr.write(f"{self._title}: {state}, {elapsed:.0f} s{note}\n")
        sys.stderr.flush()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()
        if time.monotonic() - self._started > 2.0:
            self._line("done" if error is None else f"stopped at {self._done}/{self._total}")


@contextmanager
def task(title: str, total: int) -> Iterator[Task]:
    """Show progress of `total` steps under `title` while the block runs."""
    with Task(title, total) as running:
        yield running
