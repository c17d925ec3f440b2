"""Work on a device as a list of steps, each of which knows whether it is still to be done.

A verb builds its steps and has them carried out: what is done already stays untouched, so that the
verb may be run again at any time, after a failure too; with a dry run nothing is changed at all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

import msgspec

from scanside.runtime.errors import DeviceError, ScansideError


@dataclass(frozen=True)
class Step:
    """title: what it is for, as a person says it. pending: what would be done, or None where that
    is done already; it changes nothing. do: does it; an error of the tree, or one of the file
    system, stops the verb.

    `pending` is asked again after `do`: a step whose work did not stick has failed.
    """

    title: str
    pending: Callable[[], str | None]
    do: Callable[[], object]


class Outcome(str, Enum):
    UNCHANGED = "unchanged"
    DONE = "done"
    WOULD = "would"
    FAILED = "failed"
    NOT_REACHED = "not reached"


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one step. text: what was or would be done, or why it failed."""

    title: str
    outcome: Outcome
    text: str = ""
    next_step: str = ""
    seconds: float = 0.0


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """verb: whose steps they were. Those behind one that failed were not reached."""

    verb: str
    dry_run: bool
    steps: tuple[Taken, ...]

    @property
    def failed(self) -> bool:
        return any(step.outcome is Outcome.FAILED for step in self.steps)

    @property
    def changed(self) -> int:
        """How many steps changed something."""
        return sum(step.outcome is Outcome.DONE for step in self.steps)


def carry_out(
    verb: str,
    steps: Sequence[Step],
    *,
    dry_run: bool = False,
    told: Callable[[Taken], object] = lambda taken: None,
) -> Report:
    """Carry the steps out in order until one fails. told: called after each, as it ends."""
    taken: list[Taken] = []
    for number, step in enumerate(steps):
        taken.append(_take(step, dry_run))
        told(taken[-1])
        if taken[-1].outcome is Outcome.FAILED:
            for rest in steps[number + 1 :]:
                taken.append(Taken(title=rest.title, outcome=Outcome.NOT_REACHED))
                told(taken[-1])
            break
    return Report(verb=verb, dry_run=dry_run, steps=tuple(taken))


def _take(step: Step, dry_run: bool) -> Taken:
    began = time.monotonic()
    try:
        text = step.pending()
        if text is None:
            return Taken(title=step.title, outcome=Outcome.UNCHANGED)
        if dry_run:
            return Taken(title=step.title, outcome=Outcome.WOULD, text=text)
        step.do()
        if step.pending() is not None:
            raise DeviceError(
                f"{step.title}: it was done, and is still to be done",
                next_step="look at the log; another service may undo it",
            )
    except ScansideError as error:
        return _failed(step, began, error.message, error.next_step)
    except OSError as error:  # a full disk, say, where a step foresaw none: the report is still due
        words = f"{error.filename or 'the disk'} cannot be read or changed"
        return _failed(
            step, began, f"{words}: {error.strerror or error}", "run it as root; `df`, `dmesg`"
        )
    seconds = time.monotonic() - began
    return Taken(title=step.title, outcome=Outcome.DONE, text=text, seconds=seconds)


def _failed(step: Step, began: float, text: str, next_step: str) -> Taken:
    return Taken(
        title=step.title,
        outcome=Outcome.FAILED,
        text=text,
        next_step=next_step,
        seconds=time.monotonic() - began,
    )
