"""`scanside swap` and `drain`, the store behind them, and swaps under load: with real processes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bundles import make_manifest, make_members, write_test_bundle
from daemons import FACTS, frame
from scanside.compile.pack import write_bundle
from scanside.runtime import Client
from scanside.runtime.bundle import Bundle
from scanside.runtime.cli.drain import drain
from scanside.runtime.cli.swap import swap
from scanside.runtime.control import Ask, Situation, Swap, command
from scanside.runtime.errors import (
    DowngradeError,
    GoldenMismatchError,
    ScansideError,
    ServerUnreachableError,
    SwapError,
    UnsignedBundleError,
)
from scanside.runtime.store import Store
from swap_load import CLIENTS, swap_under_load

PROGRAM = [sys.executable, "-W", "error", "-c", "from scanside.runtime.cli import main; main()"]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """a, b (of a greater serial), older, and bad, whose golden frames are of another network."""
    folder = tmp_path_factory.mktemp("bundles")
    for serial, (name, residual) in enumerate({"older": 0.1, "a": 0.01, "b": 0.02}.items()):
        write_test_bundle(folder / f"{name}.scanside", residual=residual, serial=serial)
    manifest = make_manifest(serial=9)
    members = make_members(manifest, 0.3) | {"model.cpu.onnx": make_members(manifest)["model.onnx"]}
    write_bundle(folder / "bad.scanside", manifest, members)
    return folder


@contextmanager
def serving(folder: Path, *what: object, log: Any = subprocess.DEVNULL) -> Iterator[Any]:
    """The real program with a control socket in `folder`: the process and its URL."""
    command = [*PROGRAM, "serve", *map(str, what), "--engine", "onnxruntime", "--threads", "1"]
    command += ["--bind", "tcp://127.0.0.1:*", "--allow-unsigned"]
    command += ["--control", str(folder / "control")]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=log, text=True, env=os.environ.copy()
    ) as process:
        try:
            assert process.stdout is not None
            ready = process.stdout.readline()
            assert ready.startswith("ready: "), ready
            yield process, ready.split(" ")[1].rstrip(",")
        finally:
            process.kill()


@pytest.fixture
def store(tmp_path: Path, files: Path) -> Store:
    """With a active."""
    one = Store(tmp_path / "store", allow_unsigned=True)
    one.activate(one.install(files / "a.scanside").sha256)
    return one


def order(folder: Path, *words: object) -> str:
    """What `scanside swap` prints; raises its error."""
    result = CliRunner().invoke(swap, [*map(str, words), "--to", str(folder / "control")])
    if isinstance(result.exception, ScansideError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def identity(file: Path) -> str:
    return Bundle.open(file).identity


def answering(url: str) -> str:
    with Client(url) as client:
        result = client.enhance(frame(0), FACTS)
    assert result.outcome == "enhanced"
    return result.model


def test_a_restart_keeps_what_was_swapped_to(tmp_path: Path, files: Path, store: Store) -> None:
    with serving(tmp_path, "--store", store.folder) as (process, url):
        assert answering(url) == identity(files / "a.scanside")
        said = order(tmp_path, files / "b.scanside")
        assert said.startswith(f"swapped: test 1.0.0 ({identity(files / 'b.scanside')[:12]}, uns")
        assert answering(url) == identity(files / "b.scanside")
        process.kill()  # no farewell
    with serving(tmp_path, "--store", store.folder) as (_, url):
        assert answering(url) == identity(files / "b.scanside")
        order(tmp_path, "--rollback")
        assert answering(url) == identity(files / "a.scanside")
    with serving(tmp_path, "--store", store.folder) as (process, url):
        assert answering(url) == identity(files / "a.scanside")
        situation = command(tmp_path / "control", Ask())
        assert isinstance(situation, Situation)
        assert situation.model is not None
        engine = situation.model.engine
        assert order(tmp_path, "--status").splitlines() == [
            f"READY: test 1.0.0 ({identity(files / 'a.scanside')[:12]}, unsigned), {engine}",
            "swap: none",
            f"store: {store.folder}",
        ]
        assert CliRunner().invoke(drain, ["--to", str(tmp_path / "control")]).exit_code == 0
        assert process.wait(20) == 0


@pytest.mark.parametrize(
    ("name", "error"),
    [("older", DowngradeError), ("bad", GoldenMismatchError), ("none", ScansideError)],
)
def test_what_is_refused_leaves_no_trace(
    tmp_path: Path, files: Path, store: Store, name: str, error: type[ScansideError]
) -> None:
    before = store.chosen(), store.held()
    with serving(tmp_path, "--store", store.folder) as (_, url):
        with pytest.raises(error):
            order(tmp_path, files / f"{name}.scanside")
        assert answering(url) == identity(files / "a.scanside")
    assert (store.chosen(), store.held()) == before


def test_an_older_one_is_swapped_to_by_force(tmp_path: Path, files: Path, store: Store) -> None:
    with serving(tmp_path, "--store", store.folder) as (_, url):
        order(tmp_path, files / "older.scanside", "--force")
        assert answering(url) == identity(files / "older.scanside")


def test_a_daemon_without_a_store_swaps_too_and_refuses_alike(tmp_path: Path, files: Path) -> None:
    with serving(tmp_path, files / "a.scanside") as (_, url):
        with pytest.raises(DowngradeError):
            order(tmp_path, files / "older.scanside")
        with pytest.raises(SwapError, match="no store"):
            order(tmp_path, "--rollback")
        order(tmp_path, files / "b.scanside")
        assert answering(url) == identity(files / "b.scanside")


def test_the_one_to_roll_back_to_is_tested_like_any_other(
    tmp_path: Path, files: Path, store: Store
) -> None:
    bad = store.install(files / "bad.scanside").sha256
    store.activate(bad)
    store.rollback()
    with serving(tmp_path, "--store", store.folder) as (_, url):
        with pytest.raises(GoldenMismatchError):
            order(tmp_path, "--rollback")
        assert answering(url) == identity(files / "a.scanside")
    assert store.chosen().previous == bad


@pytest.mark.parametrize("state", ["VERIFYING", "BUILDING", "SELF_TEST", "READY"])
def test_a_daemon_killed_in_the_middle_of_a_swap_starts_with_one_of_the_two(
    tmp_path: Path, files: Path, store: Store, state: str
) -> None:
    both = {identity(files / f"{name}.scanside") for name in "ab"}
    with serving(tmp_path, "--store", store.folder) as (process, _):

        def kill(now: str) -> None:
            if now == state:
                process.kill()

        new = Swap(file=str(files / "b.scanside"))
        with contextlib.suppress(ServerUnreachableError):
            command(tmp_path / "control", new, progress=kill, patience_s=0.2)
        process.wait(20)
    with serving(tmp_path, "--store", store.folder) as (_, url):
        model = answering(url)
    assert model in both
    assert store.active()[1].identity == model
    assert not list(store.folder.rglob("*.part"))


def test_sighup_reads_the_keys_again_and_the_daemon_goes_on(tmp_path: Path, files: Path) -> None:
    log = tmp_path / "log"
    with (
        log.open("w") as stream,
        serving(tmp_path, files / "a.scanside", log=stream) as (process, url),
    ):
        process.send_signal(signal.SIGHUP)
        until = time.monotonic() + 10
        while '"command": "reload"' not in log.read_text():
            assert time.monotonic() < until
            time.sleep(0.01)
        assert answering(url) == identity(files / "a.scanside")
        process.terminate()
        assert process.wait(20) == 0
    states = [json.loads(line).get("after") for line in log.read_text().splitlines()]
    assert [one for one in states if one][-3:] == ["READY", "DRAINING", "STOPPED"]


def test_an_empty_store_and_two_sources_are_refused(tmp_path: Path, files: Path) -> None:
    for what, code in (
        (["--store", str(tmp_path / "new")], 17),
        (["--store", str(tmp_path / "new"), str(files / "a.scanside")], 2),
        ([], 2),
    ):
        words = [*PROGRAM, "serve", *what, "--bind", f"ipc://{tmp_path}/s"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr


def test_swap_to_nobody_says_so(tmp_path: Path, files: Path) -> None:
    with pytest.raises(ServerUnreachableError, match="no daemon"):
        order(tmp_path, files / "a.scanside")


def test_swap_wants_a_file_or_a_rollback(tmp_path: Path) -> None:
    assert CliRunner().invoke(swap, ["--to", str(tmp_path)]).exit_code == 2


def test_a_store_does_not_serve_unsigned_bundles_unless_allowed(store: Store) -> None:
    with pytest.raises(UnsignedBundleError):
        Store(store.folder).active()


def test_swaps_under_the_load_of_four_clients_lose_and_mix_no_frame(tmp_path: Path) -> None:
    swaps = 9
    outcome = swap_under_load(tmp_path, swaps)
    assert not outcome.wrong
    assert (outcome.swapped, outcome.refused) == (swaps - swaps // 3, swaps // 3)
    assert set(outcome.answered) <= {"a", "b", "lost"}, outcome.table()
    assert outcome.answered["lost"] == 0
    assert outcome.sent == outcome.answered["a"] + outcome.answered["b"]
    assert min(outcome.answered["a"], outcome.answered["b"]) > CLIENTS
