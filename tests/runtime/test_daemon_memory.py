"""Is there room for a second model? From files as the kernel writes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from bundles import write_test_bundle
from scanside.runtime.bundle import Bundle
from scanside.runtime.daemon import loading
from scanside.runtime.daemon.loading import EngineChoice, FileSource, StoreSource
from scanside.runtime.daemon.memory import MARGIN, MIB, available, check_room_for_another, resident
from scanside.runtime.errors import SwapError
from scanside.runtime.store import Store


def machine(root: Path, *, free: int, held: int, **limits: tuple[str, int]) -> Path:
    """free, held: MiB. limits: of a cgroup (`_` for /): memory.max and memory.current in MiB."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/meminfo").write_text(
        f"MemTotal:       16000000 kB\nMemFree:  1 kB\nMemAvailable:   {free * 1024} kB\n"
    )
    (root / "proc/self/status").write_text(
        f"Name:\tscanside\nVmHWM:\t9 kB\nVmRSS:\t{held * 1024} kB\n"
    )
    for group, (most, used) in limits.items():
        folder = root / "sys/fs/cgroup" / group.replace("_", "/").strip("/")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "memory.max").write_text(f"{most}\n")
        (folder / "memory.current").write_text(f"{used * MIB}\n")
        (root / "proc/self/cgroup").write_text(f"0::/{group.replace('_', '/').strip('/')}\n")
    return root


def test_this_machine_tells_both() -> None:
    assert (available() or 0) > 0
    assert 10 * MIB < (resident() or 0) < 100 * 1024 * MIB


def test_there_is_room_and_then_there_is_not(tmp_path: Path) -> None:
    margin = MARGIN // MIB
    check_room_for_another(root=machine(tmp_path / "a", free=300 + margin, held=300))
    with pytest.raises(SwapError, match=f"{299 + margin} MiB of memory are free"):
        check_room_for_another(root=machine(tmp_path / "b", free=299 + margin, held=300))


@pytest.mark.parametrize("held", [1, 5000], ids=["a small process", "a large one"])
def test_what_the_manifest_grants_counts_where_it_is_known(tmp_path: Path, held: int) -> None:
    margin = MARGIN // MIB
    check_room_for_another(700, machine(tmp_path / "a", free=700 + margin, held=held))
    with pytest.raises(SwapError, match=f"may need {700 + margin}"):
        check_room_for_another(700, machine(tmp_path / "b", free=699 + margin, held=held))


@pytest.mark.parametrize(
    ("limits", "left"),
    [
        ({"system.slice_scanside.service": (str(900 * MIB), 700)}, 200),
        ({"system.slice_scanside.service": ("max", 700)}, 1000),
        ({"system.slice": (str(800 * MIB), 750), "system.slice_scanside.service": ("max", 1)}, 50),
        ({"system.slice_scanside.service": (str(500 * MIB), 700)}, 0),
    ],
    ids=["the unit's limit", "no limit", "the slice's limit", "over it already"],
)
def test_the_limit_of_a_unit_counts(
    tmp_path: Path, limits: dict[str, tuple[str, int]], left: int
) -> None:
    assert available(machine(tmp_path / "a", free=1000, held=10, **limits)) == left * MIB


def test_what_the_kernel_does_not_tell_refuses_nothing(tmp_path: Path) -> None:
    check_room_for_another(root=tmp_path)
    machine(tmp_path / "a", free=0, held=10)
    (tmp_path / "a/proc/self/status").write_text("VmRSS: lots\n")
    check_room_for_another(root=tmp_path / "a")


def test_a_swap_asks_first_whatever_it_swaps_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def full(budget_mb: int) -> None:
        asked.append(budget_mb)
        raise SwapError("no room")

    store = Store(tmp_path / "store", allow_unsigned=True)
    first, second = (
        write_test_bundle(tmp_path / f"{serial}.scanside", serial=serial, memory_budget_mb=budget)
        for serial, budget in ((1, 300), (2, 700))
    )
    for file in (first, second):
        store.activate(store.install(file).sha256)
    store.prune()
    manifest = Bundle.open(first).manifest
    monkeypatch.setattr(loading, "check_room_for_another", full)
    engine = EngineChoice("onnxruntime", 1)
    third = write_test_bundle(tmp_path / "3.scanside", serial=3, memory_budget_mb=900)
    sources = (StoreSource(store, engine), FileSource(first, engine, allow_unsigned=True))
    for source in sources:
        with pytest.raises(SwapError, match="no room"):
            source.next(third, force=False, running=manifest)(lambda *_: None)
    with pytest.raises(SwapError, match="no room"):
        sources[0].next(None, force=False, running=manifest)(lambda *_: None)
    assert asked == [900, 900, 300]
    assert len(store.held()) == 2, "what there is no room for is not kept"
    for one in sources:
        one.first(lambda *_: None).engine.close()
