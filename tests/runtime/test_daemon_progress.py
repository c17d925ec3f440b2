"""How far the building of a model is, told to systemd at the start and to whoever swaps."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from daemons import SOON_S, AddOne, loader, running
from scanside.runtime.cli.swap import swap
from scanside.runtime.control import Done, Swap, command
from scanside.runtime.daemon.loading import Load, Loaded, Report
from scanside.runtime.daemon.notify import Notifier
from scanside.runtime.daemon.states import State
from scanside.runtime.manifest import Manifest


def slow(load: Load) -> Load:
    """Tells how far it is, as the building of a plan does."""

    def told(report: Report) -> Loaded:
        def between(state: State, progress: str = "") -> None:
            report(state, progress)
            if state is State.BUILDING:
                report(state, "tactics 40%")
                report(state, "tactics 80%")

        return load(between)

    return told


class Another:
    folder = ""

    def first(self, report: Report) -> Loaded:
        raise AssertionError("the daemon has another first model")

    def next(self, file: Path | None, *, force: bool, running: Manifest) -> Load:
        return slow(loader(AddOne(), identity="e" * 64))


def test_systemd_and_whoever_swaps_are_told(tmp_path: Path) -> None:
    states: list[str] = []
    control = tmp_path / "control"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(SOON_S)
        said: list[str] = []
        with running(
            slow(loader(AddOne())),
            notifier=Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")}),
            control_file=control,
            source=Another(),
        ):
            while "STATUS=READY" not in said:
                said.append(systemd.recv(4096).decode())
            done = command(control, Swap(file="/new"), progress=states.append)
    assert [one for one in said if one.startswith("STATUS=")] == [
        "STATUS=VERIFYING",
        "STATUS=BUILDING",
        "STATUS=BUILDING: tactics 40%",
        "STATUS=BUILDING: tactics 80%",
        "STATUS=SELF_TEST",
        "STATUS=READY",
    ]
    assert states == [
        "VERIFYING",
        "BUILDING",
        "BUILDING: tactics 40%",
        "BUILDING: tactics 80%",
        "SELF_TEST",
        "READY",
    ]
    assert isinstance(done, Done)


def said(*words: object) -> Any:
    return CliRunner().invoke(swap, [str(word) for word in words])


def test_swap_says_how_far_it_is_to_whoever_asks(tmp_path: Path) -> None:
    control, shown = tmp_path / "control", []

    def look(state: str) -> None:
        if state == "BUILDING: tactics 80%":
            shown.append(said("--status", "--to", control).output.splitlines())
            looked.release()

    looked = threading.Semaphore(0)
    ready = threading.Event()

    class Watched(Another):
        def next(self, file: Path | None, *, force: bool, running: Manifest) -> Load:
            waiting = loader(AddOne(), identity="e" * 64, check=lambda: looked.acquire(timeout=5))
            return slow(waiting)

    with running(
        loader(AddOne()),
        control_file=control,
        source=Watched(),
        on_ready=lambda *_: ready.set(),
    ):
        assert ready.wait(SOON_S)
        command(control, Swap(file="/new"), progress=look)
        after = said("--status", "--to", control).output.splitlines()
    (during,) = shown
    assert during[0].startswith("READY: test 1.0.0 (ffffffffffff, unsigned), numpy 1")
    assert during[1] in ("swap: BUILDING", "swap: SELF_TEST")
    assert during[2] == "store: none"
    assert after[0].startswith("READY: test 1.0.0 (eeeeeeeeeeee, unsigned), numpy 1")
    assert after[1] == "swap: none"


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("a", "--rollback"),
        ("a", "--status"),
        ("--rollback", "--status"),
        ("--status", "--force"),
    ],
)
def test_one_thing_at_a_time(words: tuple[str, ...]) -> None:
    assert said(*words).exit_code == 2
