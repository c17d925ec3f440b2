"""One of the BSP's scripts as a child: its words exactly, a clean environment, a log, no shell.

NVIDIA's scripts take orders from the environment too (BOARDID, ODMDATA, EXTOPTIONS, FUSELEVEL ...):
of this process's own, none is passed on.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, NamedTuple

from scanside.runtime.errors import FlashError

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_KEPT_LINES = 4000
_ENDING_S = 10.0


class Ended(NamedTuple):
    """code: of the child, negative where a signal ended it. lines: its last ones."""

    code: int
    lines: tuple[str, ...]
    seconds: float


def run_child(
    tree: Path,
    words: Sequence[str],
    log: IO[bytes],
    *,
    hide: str = "",
    told: Callable[[str], object] = lambda line: None,
) -> Ended:
    """Start a script of the tree in it and wait for its end, however long that takes.

    hide: a secret that must reach neither log nor terminal. told: called with each line.
    Ctrl-C ends the child with all that it started. Raises FlashError where it cannot start.
    """
    began = time.monotonic()
    environment = {"PATH": PATH, "LC_ALL": "C", "HOME": "/root", "TERM": "dumb"}
    try:
        child = subprocess.Popen(
            list(words),
            cwd=tree,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        raise FlashError(
            f"{words[0]} does not start: {error.strerror}", next_step="extract the BSP anew"
        ) from error
    lines: list[str] = []
    assert child.stdout is not None
    try:
        for raw in child.stdout:
            text = raw.decode(errors="replace")
            if hide:
                text = text.replace(hide, "(hidden)")
            log.write(text.encode())
            log.flush()
            for part in text.replace("\r", "\n").splitlines():
                line = "".join(c for c in part if c.isprintable()).strip()
                if line:
                    lines.append(line)
                    told(line)
            del lines[:-_KEPT_LINES]
        code = child.wait()
    except BaseException:
        _end(child)
        raise
    finally:
        child.stdout.close()
    return Ended(code, tuple(lines), time.monotonic() - began)


def _end(child: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGINT, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        with suppress(subprocess.TimeoutExpired):
            child.wait(_ENDING_S)
            return
