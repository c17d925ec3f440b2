"""The far end of `scanside plan --builder`: builds one plan for whoever holds the connection.

stdin and stdout are the connection. It greets with its fingerprint; takes one request (a line of
JSON) and as many bytes of a bundle; says the phases, then the evidence, then the plan's bytes. When
stdin ends before that, the connection is gone: the build is stopped and its folder removed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, BinaryIO

import msgspec

from scanside.runtime.bundle import MAX_BUNDLE_BYTES
from scanside.runtime.errors import BundleIntegrityError, ScansideError
from scanside.runtime.manifest import Digest
from scanside.runtime.plan_lines import LONGEST_LINE, Line, say, say_error
from scanside.runtime.planner import build_plan_file, probe

STOPPING = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """size: bytes of the bundle, which follow."""

    size: Annotated[int, msgspec.Meta(ge=1, le=MAX_BUNDLE_BYTES)]
    sha256: Digest
    time_limit_s: Annotated[float, msgspec.Meta(gt=0, le=7 * 24 * 3600)]


class _GoneError(BaseException):
    """The connection ended, or a signal did. No error to tell: nobody is there to be told."""


def serve_plan() -> int:
    """Serve one request; gives the exit code."""
    for number in STOPPING:
        signal.signal(number, _stop)
    try:
        say(Line(fingerprint=probe()))
        request, bundle = _receive(sys.stdin.buffer)
        with tempfile.TemporaryDirectory(prefix="scanside-plan-") as folder, _while_connected():
            file = Path(folder) / "model.scanside"
            file.write_bytes(bundle)
            plan = build_plan_file(file, Path(folder), say, request.time_limit_s)
            say(Line(plan=plan.evidence))
            sys.stdout.buffer.write(plan.path.read_bytes())
            sys.stdout.buffer.flush()
    except ScansideError as error:
        with contextlib.suppress(OSError):
            say_error(error)
        return error.exit_code
    except (_GoneError, BrokenPipeError, ConnectionError):
        _silence()
        return 1
    return 0


def _receive(stream: BinaryIO) -> tuple[Request, bytes]:
    raw = stream.readline(LONGEST_LINE)
    if not raw.endswith(b"\n"):
        raise _GoneError
    try:
        request = msgspec.json.decode(raw, type=Request)
    except msgspec.MsgspecError as error:
        raise BundleIntegrityError(
            "the request cannot be read", next_step="use one version of Scanside on both ends"
        ) from error
    bundle = stream.read(request.size)
    if len(bundle) < request.size:
        raise _GoneError
    if hashlib.sha256(bundle).hexdigest() != request.sha256:
        raise BundleIntegrityError("the bundle was altered on its way", next_step="try again")
    return request, bundle


@contextlib.contextmanager
def _while_connected() -> Iterator[None]:
    """The block is stopped when stdin ends: no more bytes are expected there."""
    finished = threading.Event()
    main = threading.main_thread().ident
    assert main is not None

    def watch() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 1):  # not sys.stdin, whose lock would be held to the end
                pass
        if not finished.is_set():
            # To the main thread itself, so that whatever it waits for is interrupted.
            signal.pthread_kill(main, signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        finished.set()


def _stop(number: int, frame: object) -> None:
    for one in STOPPING:  # once is enough: tidying up is not to be interrupted
        signal.signal(one, signal.SIG_IGN)
    raise _GoneError


def _silence() -> None:
    """What is left in stdout's buffer has no reader: Python would complain of it at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
