from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from scanside.runtime.daemon import journal


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    logger = logging.getLogger("scanside.daemon")
    before = logger.handlers[:], logger.level, logger.propagate
    stream = io.StringIO()
    journal.log_to(stream)
    yield stream
    logger.handlers[:], logger.level, logger.propagate = before


def test_an_event_is_one_json_line(log: io.StringIO) -> None:
    journal.event("state", before="READY", after="DRAINING")
    journal.event("listening", url="tcp://127.0.0.1:5555")
    one, two = map(json.loads, log.getvalue().splitlines())
    assert one.pop("time").endswith("+00:00")
    assert one == {"level": "info", "event": "state", "before": "READY", "after": "DRAINING"}
    assert two["url"] == "tcp://127.0.0.1:5555"


def test_fields_that_are_not_allowed_are_dropped(log: io.StringIO) -> None:
    journal.event("session opened", session="ab", stream="DOE^JOHN", pixels=[1, 2])
    assert "DOE" not in log.getvalue()
    assert set(json.loads(log.getvalue())) == {"time", "level", "event", "session"}


def test_an_error_is_named_but_not_quoted(log: io.StringIO) -> None:
    try:
        raise ValueError("DOE^JOHN born 1950")
    except ValueError as error:
        journal.failure("engine error", error)
    line = json.loads(log.getvalue())
    assert (line["level"], line["error"]) == ("error", "ValueError")
    assert line["place"].startswith("test_daemon_journal.py:")
    assert "DOE" not in log.getvalue()
