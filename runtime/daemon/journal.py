"""The daemon's log: one JSON line per event, and only fields that cannot tell of a patient.

Nothing that a client wrote (a stream's name, a header) and no exception's text is ever logged:
both may quote a patient's file.
"""

from __future__ import annotations

import json
import logging
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
    "seconds",
)

_log = logging.getLogger("scanside.daemon")
_log.addHandler(logging.NullHandler())


class JsonLines(logging.Formatter):
    """`{"time": ..., "level": ..., "event": ..., <allowed fields>}`; other fields are dropped."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
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


def log_to(stream: TextIO) -> None:
    """Write the daemon's events to `stream`, for a process whose only work is the daemon."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    _log.handlers[:] = [handler]
    _log.setLevel(logging.INFO)
    _log.propagate = False
