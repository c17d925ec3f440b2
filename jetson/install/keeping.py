"""Going back to the bundle before, and making room."""

from __future__ import annotations

from collections.abc import Callable

from scanside.jetson import application
from scanside.jetson.install import evidence, places
from scanside.jetson.machine import Machine
from scanside.jetson.steps import Step
from scanside.runtime.errors import StoreError


def rollback_steps(
    machine: Machine,
    store: str,
    *,
    allow_unsigned: bool = False,
    told: Callable[[str], object] = lambda text: None,
) -> list[Step]:
    """Steps of `scanside device rollback`; which bundle is meant is settled now."""
    folder = machine.path(store)
    wanted = places.chosen(folder).previous

    def pending() -> str | None:
        if wanted is None:
            raise StoreError(
                "no bundle was active before this one", next_step="install the one you want"
            )
        return None if places.chosen(folder).active == wanted else wanted[:16]

    def do() -> None:
        places.go_back(machine, store, allow_unsigned=allow_unsigned, told=told)

    return [Step("the bundle before is the active one", pending, do)]


def prune_steps(machine: Machine, store: str, *, allow_unsigned: bool = False) -> list[Step]:
    """Steps of `scanside device prune`."""
    folder = machine.path(store)

    def kept() -> tuple[str, ...]:
        chosen = places.chosen(folder)
        return tuple(one for one in (chosen.active, chosen.previous) if one)

    def surplus() -> str | None:
        names = [name for name in machine.list(f"{store}/bundles") if name not in kept()]
        return f"remove {', '.join(name[:16] for name in names)}" if names else None

    def prune() -> None:
        places.open_store(machine, store, allow_unsigned=allow_unsigned).prune()

    def records() -> str | None:
        names = [path.name for path in evidence.surplus(folder, kept())]
        return f"remove {len(names)} files" if names else None

    return [
        Step("the store holds the active and the previous bundle", surplus, prune),
        Step("and their evidence", records, lambda: evidence.prune(folder, kept())),
        application.prune_step(machine),
    ]
