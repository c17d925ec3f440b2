"""A bundle on the device: checked, its plan built, tested, then active by one rename.

Nothing here decides what is active: that is `scanside.runtime.store`, by itself or by way of the
daemon that serves from it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scanside.jetson.install import checks, evidence, places
from scanside.jetson.layout import STORE
from scanside.jetson.machine import Machine
from scanside.jetson.steps import Step
from scanside.runtime.errors import BundleError
from scanside.runtime.planner import build_plan_file, kept_plan
from scanside.runtime.plans import DEFAULT_TIME_LIMIT_S

if TYPE_CHECKING:
    from scanside.runtime.bundle import Bundle
    from scanside.runtime.fingerprint import Fingerprint
    from scanside.runtime.planner import Show

Told = Callable[[str], object]


@dataclass(frozen=True)
class Order:
    """file: the bundle. engine, threads: as `open_engine` takes them. force: an older serial too.
    build: a plan of our own, though the bundle brings some for other devices only. plan_limit_s:
    for the building. store: its folder on the machine. told: what it is at. show: the phases of a
    build."""

    machine: Machine
    file: Path
    engine: str = "auto"
    threads: int | None = None
    allow_unsigned: bool = False
    force: bool = False
    build: bool = False
    plan_limit_s: float = DEFAULT_TIME_LIMIT_S
    store: str = STORE
    told: Told = lambda text: None
    show: Show = lambda line: None

    @property
    def folder(self) -> Path:
        return self.machine.path(self.store)


def install_steps(order: Order) -> list[Step]:
    """Steps of `scanside device install`. They raise what the bundle, the plan, the engine, the
    store and the daemon do; what is active changes in the last one only."""
    work = _Work(order)
    return [
        Step("the bundle may run here", work.check, lambda: None),
        Step("its plan is there", work.plan_pending, work.build),
        Step("it passes its self-test", work.test_pending, work.test),
        Step("it is the active one", work.active_pending, work.activate),
    ]


class _Work:
    """What the steps share: the file is verified once for each, since it may change in between."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._device: Fingerprint | None = None
        self._probed = False
        self._sha256 = ""

    def check(self) -> None:
        self._checked()

    def plan_pending(self) -> str | None:
        bundle, _ = self._checked()
        device = self._fingerprint()
        if device is None or checks.carries_plan(bundle, device):
            return None
        if kept_plan(bundle, device, self._order.folder / "plans"):
            return None
        return "BUILDING, which takes minutes"

    def build(self) -> None:
        order = self._order
        order.told("BUILDING: TensorRT tries out layer by layer; a first build takes minutes")
        store = places.open_store(order.machine, order.store, allow_unsigned=order.allow_unsigned)
        kept = build_plan_file(order.file, store.plans, order.show, order.plan_limit_s)
        one = kept.evidence
        order.told(
            f"built in {one.seconds:.0f} s: {one.int8} of {one.layers} layers on INT8, "
            f"{one.size >> 20} MiB"
        )

    def test_pending(self) -> str | None:
        bundle, sha256 = self._checked()
        found = evidence.read(self._order.folder, sha256)
        plan = self._plan_key(bundle)
        if found and found.plan == plan and found.asked == self._order.engine:
            return None
        return "golden frames, then how long a frame takes"

    def test(self) -> None:
        bundle, sha256 = self._checked()
        order = self._order
        store = places.open_store(order.machine, order.store, allow_unsigned=order.allow_unsigned)
        found = evidence.take(
            bundle,
            sha256,
            asked=order.engine,
            threads=order.threads,
            plans=store.plans,
            plan=self._plan_key(bundle),
        )
        evidence.keep(order.folder, found)
        order.told(found.said)

    def active_pending(self) -> str | None:
        _, sha256 = self._checked()
        active = places.chosen(self._order.folder).active
        if active == sha256:
            return None
        how = "by the running daemon" if places.daemon_runs(self._order.machine) else "in the store"
        return f"{sha256[:16]} {how}"

    def activate(self) -> None:
        order = self._order
        _, sha256 = self._checked()
        places.make_active(
            order.machine,
            order.store,
            order.file,
            sha256,
            allow_unsigned=order.allow_unsigned,
            force=order.force,
            told=order.told,
        )

    def _checked(self) -> tuple[Bundle, str]:
        order = self._order
        bundle, sha256 = checks.read_verified(order.machine, order.file, order.allow_unsigned)
        if sha256 != (self._sha256 or sha256):
            raise BundleError(f"{order.file.name} is being changed", next_step="try again")
        self._sha256 = sha256
        if places.chosen(order.folder).active != sha256 and not order.force:
            checks.refuse_older_than(places.chosen(order.folder), bundle)
        checks.refuse_other_target(order.machine, bundle)
        if not order.build:
            checks.refuse_foreign_plans(bundle, self._fingerprint())
        return bundle, sha256

    def _plan_key(self, bundle: Bundle) -> str:
        device = self._fingerprint()
        if device is None:
            return ""
        kept = kept_plan(bundle, device, self._order.folder / "plans")
        return kept.evidence.key if kept else checks.carries_plan(bundle, device)

    def _fingerprint(self) -> Fingerprint | None:
        """Of the TensorRT here; None where a CPU engine is named, or there is none."""
        if not self._probed:
            self._device = checks.tensorrt_here(self._order.engine)
            self._probed = True
        return self._device
