"""Whatever instant the power goes or the process is killed at: the old choice or the new, whole."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bundles import write_test_bundle
from power_cuts import steps_of
from scanside.runtime.store import Chosen, Store

ENDS = pytest.mark.parametrize("power_cut", [False, True], ids=["killed", "power cut"])


def opened(folder: Path) -> Store:
    return Store(folder, allow_unsigned=True)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A store with an active, a previous and a surplus bundle; new.scanside beside it."""
    store = opened(tmp_path / "base")
    for serial, name in enumerate(("surplus", "previous", "active", "new")):
        file = write_test_bundle(
            tmp_path / f"{name}.scanside", residual=serial / 100, serial=serial, version=f"{serial}"
        )
        if name != "new":
            store.activate(store.install(file).sha256)
    return store.folder


def finished(base: Path, work: Path, steps: int) -> Chosen:
    """What is there when the power goes right after it was done."""
    assert (work / str(steps + 1)).is_dir()
    return opened(work / str(steps + 1)).chosen()


@ENDS
@pytest.mark.parametrize("scenario", ["swap", "rollback", "prune"])
def test_the_choice_is_the_old_one_or_the_new_one_and_whole(
    base: Path, tmp_path: Path, scenario: str, power_cut: bool
) -> None:
    before = opened(base).chosen()
    work = tmp_path / "work"
    steps = steps_of(base, work, scenario, power_cut=power_cut)
    after = finished(base, work, steps)
    assert steps >= 4
    assert (before != after) == (scenario != "prune")
    seen = []
    for step in range(1, steps + 1):
        store = opened(work / str(step))
        chosen = store.chosen()
        assert chosen in (before, after), step
        seen.append(chosen)
        active, bundle = store.active()
        assert active == chosen.active
        assert bundle.member("model.onnx")
        assert store.previous()[0] == chosen.previous
        assert not list(store.folder.rglob("*.part")), step
        # It is not only readable: what was cut short can be done now.
        new = store.install(tmp_path / "new.scanside")
        assert store.activate(new.sha256).identity == new.bundle.identity
        store.prune()
        assert set(store.held()) == {store.chosen().active, store.chosen().previous}
    # Once it is the new one it stays the new one.
    assert seen == sorted(seen, key=lambda chosen: chosen == after)


@ENDS
def test_a_store_that_never_was_is_empty_or_has_its_first_bundle(
    tmp_path: Path, power_cut: bool
) -> None:
    (tmp_path / "base").mkdir()
    file = write_test_bundle(tmp_path / "new.scanside")
    steps = steps_of(tmp_path / "base", tmp_path / "work", "swap", power_cut=power_cut)
    whole = finished(tmp_path / "base", tmp_path / "work", steps)
    assert whole.active
    for step in range(1, steps + 1):
        store = opened(tmp_path / "work" / str(step))
        assert store.chosen() in (Chosen(), whole)
        if store.chosen() == whole:
            assert store.active()[0] == whole.active
        store.activate(store.install(file).sha256)
    shutil.rmtree(tmp_path / "work")
