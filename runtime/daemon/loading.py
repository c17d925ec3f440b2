"""From a bundle to an engine that may serve: from a file, or from the device's store."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from scanside.runtime.daemon.memory import check_room_for_another
from scanside.runtime.daemon.states import State
from scanside.runtime.engines import Engine
from scanside.runtime.errors import ScansideError, SwapError
from scanside.runtime.manifest import Manifest
from scanside.runtime.wire import ModelCard

if TYPE_CHECKING:
    from scanside.runtime.bundle import Bundle
    from scanside.runtime.store import Store


class Report(Protocol):
    """Tells the daemon which state the loading has come to, or in words how far it is within."""

    def __call__(self, state: State, progress: str = "") -> None: ...


@dataclass(frozen=True)
class Loaded:
    """check: the self-test on golden frames; raises an error of the tree when the engine fails.
    keep: called once it has passed, before it serves: from then on a restart serves it too.
    signer: id of the key that signed it, or empty.

    `engine`, `check`, `keep` and the `Load` that made this are all called on this model's own
    inference thread.
    """

    engine: Engine
    manifest: Manifest
    card: ModelCard
    check: Callable[[], object]
    keep: Callable[[], object] = lambda: None
    signer: str = ""


Load = Callable[[Report], Loaded]
"""Reports VERIFYING and BUILDING as it gets there. An error ends the daemon, or the swap."""


class Source(Protocol):
    """Where the daemon's models come from.

    first: loads the one to begin with. next: loads the one to swap to, from a file on this machine
    or, without one, the one before; `running` is the one that serves. folder: of the store, or
    empty.
    """

    folder: str

    def first(self, report: Report) -> Loaded: ...

    def next(self, file: Path | None, *, force: bool, running: Manifest) -> Load: ...


@dataclass(frozen=True)
class EngineChoice:
    """Which engine is opened, as `scanside.runtime.engines.choose.open_engine` takes it."""

    name: str = "auto"
    threads: int | None = None


class FileSource:
    """Serves the bundle in `file`, and after a restart again, whatever was swapped to meanwhile.

    Loading raises BundleError (UnsignedBundleError unless allowed), EngineUnavailableError.
    """

    folder = ""

    def __init__(self, file: Path, engine: EngineChoice, *, allow_unsigned: bool = False) -> None:
        self._file = file
        self._engine = engine
        self._allow_unsigned = allow_unsigned

    def first(self, report: Report) -> Loaded:
        report(State.VERIFYING)
        return _load(self._open(self._file), self._file, self._engine, report)

    def next(self, file: Path | None, *, force: bool, running: Manifest) -> Load:
        if file is None:
            raise SwapError(
                "this daemon has no store, so there is no previous bundle",
                next_step="swap to its file, or serve from a store: scanside serve --store FOLDER",
            )

        def load(report: Report) -> Loaded:
            from scanside.runtime.bundle import refuse_downgrade

            report(State.VERIFYING)
            bundle = self._open(file)
            if not force:
                refuse_downgrade(bundle.manifest, running)
            check_room_for_another(bundle.manifest.memory_budget_mb)
            return _load(bundle, file, self._engine, report)

        return load

    def _open(self, file: Path) -> Bundle:
        from scanside.runtime.bundle import Bundle, insist_on_signature

        bundle = Bundle.open(file)
        if not self._allow_unsigned:
            insist_on_signature(bundle, file)
        return bundle


class StoreSource:
    """Serves the store's active bundle. What is swapped to is installed, and becomes the active
    one once it has passed its self-test; if it does not pass, it is taken out again.

    Loading raises what `Store` raises, and EngineUnavailableError.
    """

    def __init__(self, store: Store, engine: EngineChoice) -> None:
        self.folder = str(store.folder)
        self._store = store
        self._engine = engine

    def first(self, report: Report) -> Loaded:
        report(State.VERIFYING)
        with self._way_back_told():
            sha256, bundle = self._store.active()
        return self._load(sha256, bundle, report, guarded=self._way_back_told)

    def next(self, file: Path | None, *, force: bool, running: Manifest) -> Load:
        def install(report: Report) -> Loaded:
            report(State.VERIFYING)
            assert file is not None
            sha256, bundle, added = self._store.install(file, force=force)
            with self._taken_out_again(sha256, added):
                check_room_for_another(bundle.manifest.memory_budget_mb)
                return self._load(
                    sha256,
                    bundle,
                    report,
                    keep=lambda: self._store.activate(sha256, force=force),
                    guarded=lambda: self._taken_out_again(sha256, added),
                )

        def go_back(report: Report) -> Loaded:
            report(State.VERIFYING)
            sha256, bundle = self._store.previous()
            check_room_for_another(bundle.manifest.memory_budget_mb)
            return self._load(
                sha256, bundle, report, keep=lambda: self._store.rollback(expected=sha256)
            )

        return go_back if file is None else install

    def _load(self, sha256: str, bundle: Bundle, report: Report, **later: Any) -> Loaded:
        file, plans = self._store.file_of(sha256), (self._store.plans,)
        return _load(bundle, file, self._engine, report, plans, **later)

    @contextlib.contextmanager
    def _way_back_told(self) -> Iterator[None]:
        """An active bundle that fails inside ends the daemon with an error that says how to go back
        to the one before. A person does: on its own, a device would serve an older model unseen."""
        try:
            yield
        except ScansideError as error:
            if self._can_go_back():
                back = f"scanside store rollback --store {self.folder}"
                step = error.next_step or "look into the daemon's log"
                error.next_step = f"{step}; or go back to the bundle before: {back}"
            raise

    def _can_go_back(self) -> bool:
        try:
            self._store.previous()
        except ScansideError:
            return False
        return True

    @contextlib.contextmanager
    def _taken_out_again(self, sha256: str, added: bool) -> Iterator[None]:
        """Whatever fails inside costs the store its copy, if it is the swap that added it."""
        try:
            yield
        except BaseException:
            if added:
                self._store.discard(sha256)
            raise


def _load(
    bundle: Bundle,
    file: Path,
    engine: EngineChoice,
    report: Report,
    plans: Sequence[Path] = (),
    *,
    keep: Callable[[], object] = lambda: None,
    guarded: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext,
) -> Loaded:
    """file: the bundle's. plans: folders of TensorRT's plans, the first for new ones [the user's].
    guarded: a context for the self-test and for `keep`, which come later."""
    from scanside.runtime.daemon.building import build_missing_plan
    from scanside.runtime.engines.choose import open_engine
    from scanside.runtime.golden import check_engine
    from scanside.runtime.planner import plans_folder

    report(State.BUILDING)
    plans = plans or (plans_folder(),)
    build_missing_plan(
        *(bundle, file, engine.name, plans), lambda progress: report(State.BUILDING, progress)
    )
    opened = open_engine(bundle, engine.name, engine.threads, plans)
    manifest = bundle.manifest
    card = ModelCard(
        name=manifest.name,
        version=manifest.version,
        identity=bundle.identity,
        modality=manifest.modality,
        scale=manifest.scale,
        signed=bundle.signed,
        engine=f"{opened.spec.name} {opened.spec.version}",
    )

    def check() -> None:
        with guarded():
            check_engine(opened, bundle)

    def keep_it() -> None:
        with guarded():
            keep()

    return Loaded(opened, manifest, card, check, keep_it, bundle.signer)
