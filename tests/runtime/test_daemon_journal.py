from __future__ import annotations

import io
import json
import logging
import time

import pytest

from scanside.runtime.daemon import journal


def test_an_event_is_one_json_line(daemon_log: io.StringIO) -> None:
    journal.event("state", before="READY", after="DRAINING")
    journal.event("listening", url="tcp://127.0.0.1:5555")
    one, two = map(json.loads, daemon_log.getvalue().splitlines())
    assert one.pop("time").endswith("+00:00")
    assert one == {"level": "info", "event": "state", "before": "READY", "after": "DRAINING"}
    assert two["url"] == "tcp://127.0.0.1:5555"


def test_fields_that_are_not_allowed_are_dropped(daemon_log: io.StringIO) -> None:
    journal.event("session opened", session="ab", stream="DOE^JOHN", pixels=[1, 2])
    assert "DOE" not in daemon_log.getvalue()
    assert set(json.loads(daemon_log.getvalue())) == {"time", "level", "event", "session"}


def test_an_error_is_named_but_not_quoted(daemon_log: io.StringIO) -> None:
    try:
        raise ValueError("DOE^JOHN born 1950")
    except ValueError as error:
        journal.failure("engine error", error)
    line = json.loads(daemon_log.getvalue())
    assert (line["level"], line["error"]) == ("error", "ValueError")
    assert line["place"].startswith("test_daemon_journal.py:")
    assert "DOE" not in daemon_log.getvalue()


def test_a_warning_of_another_module_is_a_line_without_what_was_filled_in(
    daemon_log: io.StringIO,
) -> None:
    logging.getLogger("scanside.runtime.engines.choose").warning("engine %s is out", "DOE^JOHN")
    line = json.loads(daemon_log.getvalue())
    assert (line["level"], line["event"]) == ("warning", "engine %s is out")


def test_an_event_that_comes_with_every_frame_is_told_seldom(
    daemon_log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "SELDOM_S", 0.05)
    line = journal.Seldom("result out of bounds")
    for _ in range(5):
        line.tell(session="ab")
    time.sleep(0.06)
    line.tell(session="cd")
    told = [json.loads(one) for one in daemon_log.getvalue().splitlines()]
    assert [(one["session"], one["frames"]) for one in told] == [("ab", 1), ("cd", 5)]
