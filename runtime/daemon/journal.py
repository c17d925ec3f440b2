"""The daemon's log: one JSON line per event, and only fields that cannot tell of a patient.

Nothing that a client wrote (a stream's name, a header) and no exception's text is ever logged:
both may quote a patient's file.
"""

from __future__ import annotations

import json
import logging
import time
import traceback
from datetime import datetime, timezone
from typing import TextIO

FIELDS = (
    "before",
    "after",
    "session",
    "sessions",
    "url",
    "model",
    "version",
    "identity",
    "engine",
    "signed",
    "reason",
    "error",
    "place",
    "frames",
    "bytes",
    "seconds",
    "command",
    "phase",
    "modality",
    "drift",
    "strength",
    "shift",
)

SELDOM_S = 10.0

_family = logging.getLogger("scanside")
"""Warnings of the engines and the store come as JSON lines too."""
_log = logging.getLogger("scanside.daemon")
_log.addHandler(logging.NullHandler())


class JsonLines(logging.Formatter):
    """`{"time": ..., "level": ..., "event": ..., <allowed fields>}`; other fields are dropped."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(),
            "level": record.levelname.lower(),
            # Not `getMessage`: what is filled into another module's warning may be a file's text.
            "event": str(record.msg),
        }
        line.update({name: getattr(record, name) for name in FIELDS if hasattr(record, name)})
        return json.dumps(line)


def event(name: str, **fields: object) -> None:
    """Log one event; `name` is a constant of the code."""
    _log.info(name, extra=fields)


def failure(name: str, error: BaseException) -> None:
    """Log an error by its type and place: its text may hold what no log should."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno}" if frames else ""
    _log.error(name, extra={"error": type(error).__name__, "place": place})


class Seldom:
    """An event that may come with every frame: one line at most every `SELDOM_S`, which says for
    how many frames it stands. The last few may go untold; counters have them all."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._frames = 0
        self._next = 0.0

    def tell(self, **fields: object) -> None:
        self._frames += 1
        now = time.monotonic()
        if now >= self._next:
            event(self._name, frames=self._frames, **fields)
            self._frames, self._next = 0, now + SELDOM_S


def log_to(stream: TextIO) -> None:
    """Write the daemon's events to `stream`, for a process whose only work is the daemon."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    _family.handlers[:] = [handler]
    _family.propagate = False
    _log.setLevel(logging.INFO)
