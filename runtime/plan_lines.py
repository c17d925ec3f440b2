"""What a process that builds a plan says on its stdout: JSON, one line each.

The same lines come from the child process on this machine and from a builder at the other end of an
SSH connection. Either may break off or talk nonsense, so a line is decoded against these types,
capped, and its text is made fit for a terminal.
"""

from __future__ import annotations

import sys
from typing import IO, Annotated

import msgspec

from scanside.runtime import errors
from scanside.runtime.errors import PlanError, ScansideError
from scanside.runtime.fingerprint import Fingerprint
from scanside.runtime.plans import Evidence

LONGEST_LINE = 1 << 20
PROTOCOL = 1

Steps = Annotated[int, msgspec.Meta(ge=0, le=1 << 31)]
_TOLD = (errors.EngineError, errors.BundleError, errors.KeyFileError, errors.TargetError)


class Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One of: a phase with its steps; a fingerprint (a builder's greeting, with its protocol); a
    plan's evidence; an error with its next step and its class in `scanside.runtime.errors`."""

    phase: str = ""
    done: Steps = 0
    steps: Steps = 0
    fingerprint: Fingerprint | None = None
    protocol: int = PROTOCOL
    plan: Evidence | None = None
    error: str = ""
    next_step: str = ""
    kind: str = ""


def say(line: Line) -> None:
    """To stdout, at once."""
    sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
    sys.stdout.buffer.flush()


def say_error(error: ScansideError) -> None:
    say(Line(error=error.message, next_step=error.next_step, kind=type(error).__name__))


def read_line(stream: IO[bytes]) -> Line | None:
    """The next line, or None where there is no more. Raises EOFError where it broke off, ValueError
    for what is no line: too long, not JSON, of other types."""
    raw = stream.readline(LONGEST_LINE)
    if not raw:
        return None
    if not raw.endswith(b"\n"):
        if len(raw) < LONGEST_LINE:
            raise EOFError("a line broke off")
        raise ValueError("a line does not end")
    return msgspec.json.decode(raw, type=Line)  # its errors are ValueErrors


def told_error(line: Line) -> ScansideError:
    """The error that a line tells of, as its own class where that is one a builder may raise."""
    kind = getattr(errors, line.kind, PlanError)
    if not (isinstance(kind, type) and issubclass(kind, _TOLD)):
        kind = PlanError
    error: ScansideError = kind(printable(line.error), next_step=printable(line.next_step))
    return error


def printable(text: str, most: int = 4000) -> str:
    """Text from another process, fit for a terminal: one line, no control characters."""
    kept = "".join(c if c.isprintable() else " " for c in text[-most:])
    return " ".join(kept.split())
