"""The phases of a build, as bars. TensorRT nests them: inner ones are the outermost's note."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from scanside.runtime.plan_lines import Line, printable
from scanside.runtime.planner import Show
from scanside.runtime.progress import Task, task


class _Bars:
    def __init__(self) -> None:
        self.open = ExitStack()
        self._bar: Task | None = None
        self._outer = ""
        self._done = 0

    def show(self, line: Line) -> None:
        phase = printable(line.phase, 60)
        if self._bar is None:
            self._outer, self._done = phase, 0
            self._bar = self.open.enter_context(task(phase, line.steps))
        elif phase != self._outer:
            self._bar.advance(0, phase)
            return
        self._bar.advance(max(0, line.done - self._done))
        self._done = max(self._done, line.done)
        if line.done >= line.steps:
            self.open.close()
            self._bar = None


@contextmanager
def phase_bars() -> Iterator[Show]:
    """Something to show the lines of a build with, while the block runs."""
    bars = _Bars()
    with bars.open:
        yield bars.show
