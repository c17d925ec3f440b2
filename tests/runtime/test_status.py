"""`scanside status`, as a user runs it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from daemons import (
    SOON_S,
    AddOne,
    Answer,
    Peer,
    Residual,
    heed_interrupts,
    pretender,
    serving,
)
from scanside.runtime import wire
from scanside.runtime.cli import main
from scanside.runtime.daemon import register
from scanside.runtime.errors import ProtocolError, ServerUnreachableError, TransportError
from scanside.runtime.inquiry import ask_status
from scanside.runtime.manifest import GoldenNoise, Guard

PROGRAM = [sys.executable, "-W", "error", "-c", "from scanside.runtime.cli import main; main()"]


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[Any, str, str]:
    """Exit code, stdout and stderr."""
    with pytest.raises(SystemExit) as raised:
        main(["status", *map(str, arguments)])
    out, err = capsys.readouterr()
    return raised.value.code, out, err


def test_it_shows_what_an_operator_needs(capsys: pytest.CaptureFixture[str]) -> None:
    engine = Residual()
    guard = Guard(largest_change=0.05, largest_rms=0.02)
    golden = GoldenNoise(mean=0.0, standard_deviation=0.01)
    with serving(engine, guard=guard, golden_noise=golden) as url, Peer(url) as peer:
        tissue = np.random.default_rng(0).integers(1000, 1100, (24, 32)).astype(np.uint16)
        for seq in range(64):
            peer.send(seq, tissue, bits_stored=12, intercept=-1024.0)
            peer.hear()
        engine.value = 0.3
        peer.send(64, tissue, bits_stored=12, intercept=-1024.0)
        peer.hear()
        peer.send(64)
        peer.hear()
        code, shown, _ = said(capsys, url)
        assert not code
        lines = [line.split(None, 1) for line in shown.splitlines()]
        table = {name: rest[0].strip() for name, *rest in lines if rest}
        assert table["state"] == "READY"
        assert table["model"] == "test 1.0.0 (ffffffffffff), 1x"
        assert table["signed"] == "no"
        assert table["guard"] == "on"
        assert table["sessions"] == "1, streams 1"
        assert table["queue"] == "0"
        assert table["enhanced"] == "64"
        assert table["bypassed"] == "guard 1"
        assert table["refused"] == "duplicate 1"
        assert table["frames/s"] == "6.6"
        assert "p50" in shown
        assert "p99" in shown
        assert "DRIFTING: too little" in shown
        code, shown, _ = said(capsys, url, "--json")
    answer = json.loads(shown)
    assert not code
    assert shown.count("\n") == 1
    assert answer["drifting"] is True
    assert answer["pace"]["p99_ms"] >= answer["pace"]["p50_ms"] > 0
    assert answer["counters"]["bypassed"] == {"guard": 1}


def test_a_daemon_whose_sessions_are_all_taken_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(register, "MAX_SESSIONS", 1)
    with serving() as url, Peer(url):
        assert ask_status(url, 5).counters.sessions == 1


def test_nobody_there_is_said_with_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    code, shown, err = said(capsys, "tcp://127.0.0.1:1", "--timeout", 0.2)
    assert (code, shown) == (7, "")
    assert "scanside serve" in err
    with pytest.raises(ServerUnreachableError):
        ask_status("ipc:///nowhere/at/all", 0.2)
    with pytest.raises(TransportError, match="not an address"):
        ask_status("nonsense", 0.2)


@pytest.mark.parametrize(
    "answer", [{"type": "STATUS"}, {"type": "ERROR", "code": "busy", "text": ""}]
)
def test_whoever_answers_something_else_is_named(answer: dict[str, Any]) -> None:
    with pretender(lambda *_: [[answer]]) as url, pytest.raises(ProtocolError):
        ask_status(url, 5)


def test_what_a_stranger_answers_cannot_command_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    card = {"name": "\x1b[2J[red]x", "version": "1", "identity": "a", "engine": "e\x9b1m"}
    card |= {"modality": ["CT"], "scale": 1, "signed": True}
    answer = {"type": "STATUS", "state": "\x1b]0;x\x07", "model": card, "uptime_s": 1.0}
    answer |= {"counters": {"bypassed": {"\x1b[31m": 1}}}
    with pretender(lambda *_: [[answer]]) as url:
        for options in ((), ("--json",)):
            code, shown, _ = said(capsys, url, *options)
            assert not code
            assert all(c.isprintable() or c == "\n" for c in shown)
    assert "[red]" in shown


def test_a_status_of_an_older_daemon_is_understood() -> None:
    answer = {"type": "STATUS", "state": "READY", "model": None, "counters": {}, "uptime_s": 1.0}
    with pretender(lambda *_: [[answer]]) as url:
        assert ask_status(url, 5) == wire.Status(
            state="READY", model=None, counters=wire.Counters(), uptime_s=1.0
        )


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["live", "json"])
def test_watch_goes_on_until_it_is_interrupted(options: list[str]) -> None:
    asked = threading.Semaphore(0)
    status = {"type": "STATUS", "state": "READY", "model": None, "counters": {}, "uptime_s": 1.0}

    def answer(*_: object) -> list[Answer]:
        asked.release()
        return [[status]]

    with pretender(answer) as url:
        command = [*PROGRAM, "status", url, "--watch", "--interval", "0.05", *options]
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            command, stdout=pipe, stderr=pipe, text=True, preexec_fn=heed_interrupts
        )
        for _ in range(3):
            assert asked.acquire(timeout=SOON_S)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (0, "")
    assert out.count("READY") >= (2 if options else 1)


def test_watch_asks_again_where_nobody_answers(tmp_path: Path) -> None:
    command = [*PROGRAM, "status", f"ipc://{tmp_path}/s", "--watch", "--json"]
    command += ["--interval", "0.05", "--timeout", "0.1"]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdout=pipe, stderr=pipe, text=True, preexec_fn=heed_interrupts
    ) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        assert "no daemon answers" in process.stderr.readline()
        with serving(AddOne(), bind=f"ipc://{tmp_path}/s"):
            assert json.loads(process.stdout.readline())["type"] == "STATUS"
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
