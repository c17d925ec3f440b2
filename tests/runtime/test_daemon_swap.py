"""Another model takes over between two frames, or does not: seen from the wire and the socket."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from daemons import SOON_S, AddOne, Gate, Peer, loader, running
from scanside.runtime.control import Ask, Done, Reload, Situation, Swap, command
from scanside.runtime.daemon.loading import Load
from scanside.runtime.errors import GoldenMismatchError, KeyFileError, StoreError, SwapError
from scanside.runtime.frame import Pixels
from scanside.runtime.manifest import Manifest
from scanside.runtime.signing import REVOKED, TRUST_VARIABLE, new_key

NEW = "e" * 64
OLD = "f" * 64


class AddTwo(AddOne):
    def run(self, pixels: Pixels, facts: Any, out: Pixels | None = None) -> Pixels:
        return super().run(pixels, facts) + pixels.dtype.type(1)


class Given:
    """A source of models by the last part of the path that a swap names."""

    folder = ""

    def __init__(self, **loads: Load) -> None:
        self.loads = loads

    def first(self, report: Any) -> Any:
        raise AssertionError("the daemon has another first model")

    def next(self, file: Path | None, *, force: bool, running: Manifest) -> Load:
        assert file is not None
        return self.loads[file.name]


class Ordered(threading.Thread):
    """A swap that is asked for in a thread of its own."""

    def __init__(self, control: Path, name: str) -> None:
        super().__init__()
        self.states: list[str] = []
        self.error: Exception | None = None
        self.done: Any = None
        self._control = control
        self._name = name
        self.start()

    def run(self) -> None:
        try:
            self.done = command(
                self._control, Swap(file=f"/{self._name}"), progress=self.states.append
            )
        except Exception as error:  # noqa: BLE001 - for the test to look at
            self.error = error

    def result(self) -> Any:
        self.join(SOON_S)
        assert not self.is_alive()
        if self.error is not None:
            raise self.error
        return self.done


@contextmanager
def commanded(
    folder: Path, first: Load, source: Any = None, **options: Any
) -> Iterator[tuple[str, Path]]:
    """URL and control socket of a daemon whose first model is ready."""
    ready = threading.Event()
    control = folder / "control"
    with running(
        *(first, "tcp://127.0.0.1:*"),
        on_ready=lambda *_: ready.set(),
        control_file=control,
        source=source,
        **options,
    ) as daemon:
        assert ready.wait(SOON_S)
        yield daemon.url, control


def swap(control: Path, name: str) -> Done:
    done = command(control, Swap(file=f"/{name}"))
    assert isinstance(done, Done)
    return done


def situation(control: Path) -> Situation:
    told = command(control, Ask())
    assert isinstance(told, Situation)
    return told


def answer(peer: Peer, seq: int) -> tuple[str, int]:
    """Which model answered a frame, and what it added to it."""
    pixels = peer.send(seq)
    result = peer.hear()
    assert (result["outcome"], result["seq"]) == ("enhanced", seq), result
    added = np.frombuffer(result["pixels"], np.uint16) - pixels.ravel()
    assert len(set(added.tolist())) == 1
    return result["model"], int(added[0])


def test_the_new_model_answers_after_the_swap_and_the_old_engine_is_closed(tmp_path: Path) -> None:
    old = AddOne()
    source = Given(new=loader(AddTwo(), identity=NEW))
    with commanded(tmp_path, loader(old), source) as (url, control), Peer(url) as peer:
        assert answer(peer, 0) == (OLD, 1)
        order = Ordered(control, "new")
        model = order.result().model
        assert model.identity == NEW
        assert order.states == ["VERIFYING", "BUILDING", "SELF_TEST", "READY"]
        assert answer(peer, 1) == (NEW, 2)
        status = peer.status()
        assert (status["state"], status["model"]["identity"]) == ("READY", NEW)
        assert old.closed
        assert situation(control).swap == ""


def test_frames_are_answered_by_the_old_model_for_as_long_as_the_new_one_is_not_ready(
    tmp_path: Path,
) -> None:
    testing, go_on = threading.Event(), threading.Event()

    def check() -> None:
        testing.set()
        assert go_on.wait(SOON_S)

    source = Given(new=loader(AddTwo(), identity=NEW, check=check))
    with commanded(tmp_path, loader(AddOne()), source) as (url, control), Peer(url) as peer:
        order = Ordered(control, "new")
        assert testing.wait(SOON_S)
        for seq in range(20):
            assert answer(peer, seq) == (OLD, 1)
        assert peer.status()["state"] == "READY"
        assert situation(control).swap == "SELF_TEST"
        with pytest.raises(SwapError, match="under way"):
            swap(control, "new")
        go_on.set()
        order.result()
        assert answer(peer, 20) == (NEW, 2)


def test_the_frame_in_the_engine_is_finished_by_the_model_that_began_it(tmp_path: Path) -> None:
    gate = Gate()
    new = AddTwo()
    source = Given(new=loader(new, identity=NEW))
    with commanded(tmp_path, loader(AddOne(gate)), source) as (url, control), Peer(url) as peer:
        pixels = [peer.send(seq) for seq in range(3)]
        gate.wait_entered()
        swap(control, "new")
        assert peer.status()["model"]["identity"] == NEW
        assert new.seen == 0  # two models never work at once
        gate.open.release()
        results = [peer.hear() for _ in range(3)]
        assert [one["seq"] for one in results] == [0, 1, 2]
        assert [one["model"] for one in results] == [OLD, NEW, NEW]
        for one, sent, added in zip(results, pixels, (1, 2, 2), strict=True):
            assert one["pixels"] == (sent + np.uint16(added)).tobytes()


def test_a_result_has_the_scale_of_the_model_that_made_it(tmp_path: Path) -> None:
    class Twice(AddOne):
        def run(self, pixels: Pixels, facts: Any, out: Pixels | None = None) -> Pixels:
            return super().run(pixels, facts).repeat(2, axis=1).repeat(2, axis=2)

    gate = Gate()
    source = Given(new=loader(Twice(), identity=NEW, scale=2))
    with commanded(tmp_path, loader(AddOne(gate)), source) as (url, control), Peer(url) as peer:
        for seq in range(2):
            peer.send(seq)
        gate.wait_entered()
        swap(control, "new")
        gate.open.release()
        results = [peer.hear() for _ in range(2)]
        assert [(one["model"], one["scale"]) for one in results] == [(OLD, 1), (NEW, 2)]
        assert [len(one["pixels"]) for one in results] == [16 * 24 * 2, 16 * 24 * 8]


def test_frames_that_wait_are_held_against_the_new_model(tmp_path: Path) -> None:
    gate = Gate()
    new = AddTwo()
    source = Given(new=loader(new, identity=NEW, modality=("MR",)))
    with commanded(tmp_path, loader(AddOne(gate)), source) as (url, control), Peer(url) as peer:
        for seq in range(3):
            peer.send(seq)
        gate.wait_entered()
        swap(control, "new")
        assert [peer.hear()["reason"] for _ in range(2)] == ["wrong modality"] * 2
        gate.open.release()
        result = peer.hear()
        assert (result["seq"], result["outcome"], result["model"]) == (0, "enhanced", OLD)
        assert peer.status()["counters"]["queue"] == 0
        peer.send(3, modality="MR")
        assert peer.hear()["model"] == NEW
        assert new.seen == 1


def fail(error: Exception) -> Callable[..., Any]:
    def raise_it(*_: object) -> None:
        raise error

    return raise_it


@pytest.mark.parametrize(
    ("error", "made"),
    [
        (StoreError("no room"), lambda e: lambda engine: fail(e)),
        (GoldenMismatchError("off"), lambda e: lambda engine: loader(engine, check=fail(e))),
        (StoreError("full"), lambda e: lambda engine: loader(engine, keep=fail(e))),
        (ZeroDivisionError("a patient"), lambda e: lambda engine: loader(engine, check=fail(e))),
    ],
    ids=["loading", "self-test", "keeping", "a bug"],
)
def test_whatever_fails_the_old_model_goes_on_and_the_reason_is_said(
    tmp_path: Path, error: Exception, made: Any
) -> None:
    new, old = AddTwo(), AddOne()
    source = Given(bad=made(error)(new), good=loader(AddTwo(), identity=NEW))
    with commanded(tmp_path, loader(old), source) as (url, control), Peer(url) as peer:
        kind = SwapError if isinstance(error, ZeroDivisionError) else type(error)
        with pytest.raises(kind) as raised:
            swap(control, "bad")
        assert "patient" not in str(raised.value)
        assert not old.closed
        assert new.closed == (error.args[0] != "no room")
        assert answer(peer, 0) == (OLD, 1)
        assert peer.status()["state"] == "READY"
        swap(control, "good")
        assert answer(peer, 1) == (NEW, 2)


def test_a_model_that_is_degraded_can_be_replaced(tmp_path: Path) -> None:
    checked: list[int] = []

    def check() -> None:
        checked.append(1)
        if len(checked) > 1:
            raise GoldenMismatchError("off")

    broken = AddOne(fail(RuntimeError("broken")))
    source = Given(new=loader(AddTwo(), identity=NEW))
    with (
        commanded(tmp_path, loader(broken, check=check), source) as (url, control),
        Peer(url) as peer,
    ):
        for seq in range(3):
            peer.send(seq)
            assert peer.hear()["reason"] == "engine error"
        peer.wait_for("DEGRADED")
        swap(control, "new")
        assert peer.status()["state"] == "READY"
        assert answer(peer, 3) == (NEW, 2)


@pytest.mark.parametrize("passes", [True, False])
def test_what_a_relieved_model_still_says_changes_nothing(tmp_path: Path, passes: bool) -> None:
    testing, go_on, told = threading.Event(), threading.Event(), threading.Event()
    checked: list[int] = []

    def check() -> None:
        checked.append(1)
        if len(checked) > 1:
            testing.set()
            assert go_on.wait(SOON_S)
            if not passes:
                raise GoldenMismatchError("off")

    class Old(AddOne):
        def close(self) -> None:
            super().close()
            told.set()

    broken = Old(fail(RuntimeError("broken")))
    source = Given(new=loader(AddTwo(), identity=NEW))
    with (
        commanded(tmp_path, loader(broken, check=check), source) as (url, control),
        Peer(url) as peer,
    ):
        for seq in range(3):
            peer.send(seq)
            peer.hear()
        assert testing.wait(SOON_S)
        swap(control, "new")
        assert answer(peer, 3) == (NEW, 2)
        go_on.set()
        assert told.wait(SOON_S)  # it said READY or DEGRADED before
        assert peer.status()["state"] == "READY"
        assert answer(peer, 4) == (NEW, 2)


def test_nothing_is_swapped_before_a_model_serves(tmp_path: Path) -> None:
    go_on = threading.Event()

    def slow(report: Any) -> Any:
        assert go_on.wait(SOON_S)
        return loader(AddOne())(report)

    control = tmp_path / "control"
    with running(slow, control_file=control, source=Given(new=loader(AddTwo()))):
        with pytest.raises(SwapError, match="STARTING"):
            swap(control, "new")
        go_on.set()


def test_a_swap_that_a_drain_overtakes_is_told_so(tmp_path: Path) -> None:
    testing, go_on = threading.Event(), threading.Event()

    def check() -> None:
        testing.set()
        assert go_on.wait(SOON_S)

    source = Given(new=loader(AddTwo(), check=check))
    with commanded(tmp_path, loader(AddOne()), source) as (_, control):
        order = Ordered(control, "new")
        assert testing.wait(SOON_S)
    go_on.set()
    with pytest.raises(SwapError, match="told to stop"):
        order.result()


def test_a_client_that_goes_away_does_not_stop_its_swap(tmp_path: Path) -> None:
    import zmq

    from scanside.runtime import control as messages

    testing, go_on = threading.Event(), threading.Event()

    def check() -> None:
        testing.set()
        assert go_on.wait(SOON_S)

    source = Given(new=loader(AddTwo(), identity=NEW, check=check))
    with commanded(tmp_path, loader(AddOne()), source) as (url, control), Peer(url) as peer:
        with zmq.Context() as context, context.socket(zmq.DEALER) as asker:
            asker.connect(f"ipc://{control}")
            asker.send(messages.encode(Swap(file="/new")))
            assert testing.wait(SOON_S)
        go_on.set()
        while peer.status()["model"]["identity"] != NEW:
            pass
        assert answer(peer, 0) == (NEW, 2)


@pytest.mark.parametrize(
    "order",
    [
        Swap(),
        Swap(file="relative"),
        Swap(file="/new", rollback=True),
    ],
)
def test_an_order_that_says_no_file_or_two_is_refused(tmp_path: Path, order: Swap) -> None:
    source = Given(new=loader(AddTwo()))
    with commanded(tmp_path, loader(AddOne()), source) as (url, control), Peer(url) as peer:
        with pytest.raises(SwapError, match="absolute path"):
            command(control, order)
        assert answer(peer, 0) == (OLD, 1)


# Reloading keys


@pytest.fixture
def trust(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "trust"
    folder.mkdir()
    monkeypatch.setenv(TRUST_VARIABLE, str(folder))
    return folder


def reload(control: Path) -> str:
    done = command(control, Reload())
    assert isinstance(done, Done)
    return done.text


def test_a_model_whose_key_is_revoked_is_taken_off_until_another_takes_over(
    tmp_path: Path, trust: Path
) -> None:
    signer = new_key(tmp_path / "key")
    (trust / "key.pub").write_bytes((tmp_path / "key.pub").read_bytes())
    old = AddOne()
    source = Given(new=loader(AddTwo(), identity=NEW))
    first = loader(old, signer=signer)
    with commanded(tmp_path, first, source) as (url, control), Peer(url) as peer:
        assert reload(control) == "1 trusted keys"
        assert answer(peer, 0) == (OLD, 1)
        (trust / REVOKED).write_text(signer)
        assert "revoked" in reload(control)
        pixels = peer.send(1)
        result = peer.hear()
        assert (result["outcome"], result["pixels"]) == ("bypassed", pixels.tobytes())
        assert peer.status()["state"] == "DEGRADED"
        reload(control)
        swap(control, "new")
        assert old.closed
        assert answer(peer, 2) == (NEW, 2)


def test_a_key_that_is_trusted_no_more_is_said_and_stops_nothing(
    tmp_path: Path, trust: Path
) -> None:
    first = loader(AddOne(), signer="a" * 64)
    with commanded(tmp_path, first) as (url, control), Peer(url) as peer:
        assert "will not start again" in reload(control)
        assert answer(peer, 0) == (OLD, 1)


def test_keys_that_cannot_be_read_change_nothing(tmp_path: Path, trust: Path) -> None:
    (trust / REVOKED).write_text("no key id")
    with (
        commanded(tmp_path, loader(AddOne(), signer="a" * 64)) as (url, control),
        Peer(url) as peer,
    ):
        with pytest.raises(KeyFileError):
            reload(control)
        assert answer(peer, 0) == (OLD, 1)
