"""What every verb that changes a device has: a dry run, a log, a JSON result, a root."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from scanside.jetson.steps import Outcome, Report, Step, Taken, carry_out

PATH = click.Path(path_type=Path)
LOG = Path("/var/log/scanside/device.jsonl")
_Command = TypeVar("_Command", bound=Callable[..., Any])
_SIGNS = {
    Outcome.UNCHANGED: ("=", "bright_black"),
    Outcome.DONE: ("✓", "green"),
    Outcome.WOULD: ("→", "yellow"),
    Outcome.FAILED: ("✗", "red"),
    Outcome.NOT_REACHED: (" ", "bright_black"),
}


def root_option(command: _Command) -> _Command:
    return click.option(
        "--root",
        type=PATH,
        default=Path("/"),
        metavar="FOLDER",
        help="The system to look at: a mounted image, say [/].",
    )(command)


def step_options(command: _Command) -> _Command:
    dry = click.option("--dry-run", is_flag=True, help="Say what would be done, change nothing.")
    plain = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
    log = click.option(
        "--log",
        type=PATH,
        metavar="FILE",
        help=f"Append the result to FILE, a JSON line [{LOG} under the root].",
    )
    return root_option(dry(plain(log(command))))


def run_steps(
    verb: str, steps: Sequence[Step], *, root: Path, dry_run: bool, as_json: bool, log: Path | None
) -> Report:
    """Carry the steps out and tell of each; exits with 20, a DeviceError's code, if one failed.

    Raises DeviceError, with nothing done, for the root of a whole system that is not this one.
    """
    from scanside.jetson.machine import Machine
    from scanside.runtime.errors import DeviceError

    if not dry_run and Machine(root).is_whole_system:
        raise DeviceError(
            f"{root} holds a system whose tools would change this one",
            next_step="run it on the device, or with chroot in that system; --dry-run looks only",
        )
    report = carry_out(verb, steps, dry_run=dry_run, told=_silent if as_json else _tell)
    if not dry_run:
        _append(log or root / str(LOG).lstrip("/"), report)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(report)).decode())
    else:
        _sum_up(report)
    if report.failed:
        sys.exit(DeviceError.exit_code)
    return report


def _tell(taken: Taken) -> None:
    sign, colour = _SIGNS[taken.outcome]
    text = f": {taken.text}" if taken.text else ""
    took = f" ({taken.seconds:.1f} s)" if taken.seconds >= 1 else ""
    click.secho(f"{sign} {taken.title}{text}{took}", fg=colour)
    if taken.next_step:
        click.echo(f"    next: {taken.next_step}")


def _silent(taken: Taken) -> None:
    pass


def _sum_up(report: Report) -> None:
    if report.failed:
        click.echo("stopped: what was done before stays, and is not done again", err=True)
    elif report.dry_run:
        pending = sum(step.outcome is Outcome.WOULD for step in report.steps)
        click.echo(f"{pending} of {len(report.steps)} steps would change something")
    else:
        click.echo(f"{report.changed} of {len(report.steps)} steps changed something")


def _append(file: Path, report: Report) -> None:
    """One JSON line per run. A log that cannot be written stops nobody's work, but is said."""
    when = datetime.now(timezone.utc).isoformat(timespec="seconds")
    line = msgspec.json.encode({"time": when, **msgspec.to_builtins(report)}) + b"\n"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("ab+") as stream:
            if stream.tell():  # a power cut may have torn the line before
                stream.seek(-1, os.SEEK_END)
                line = line if stream.read(1) == b"\n" else b"\n" + line
            stream.write(line)
    except OSError as error:
        click.echo(f"note: {file} cannot be written ({error.strerror})", err=True)
