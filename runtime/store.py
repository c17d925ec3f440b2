"""The device's store: the bundles it holds, which of them is active, and which was before.

::

    FOLDER/
      bundles/<sha256>     bundle files, by the sha256 of their bytes
      plans/<key>.plan     TensorRT plans with their evidence, <key>.json, as `planner` keeps them
      chosen.json          active, previous and the serials that were reached: one file, so that one
                           rename changes them all
      lock

Every change is made under the lock, and every file appears whole, by a rename that is synced. A
power cut at any instant leaves the choice that was or the one that was to be, and its bundle is
there; what else it leaves is swept up when the store is opened next, or, in `plans`, by `prune`:
plans are built without the lock.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from scanside.runtime.bundle import (
    Bundle,
    insist_on_signature,
    read_bundle,
    read_bytes_of,
    refuse_older,
)
from scanside.runtime.errors import BundleError, StoreError
from scanside.runtime.files import LEFTOVERS, locked, make_folder, remove_files, replace_file
from scanside.runtime.kept_plans import keep_plan, prune_plans
from scanside.runtime.manifest import Digest, Name
from scanside.runtime.plans import Evidence, check_evidence
from scanside.runtime.signing import Trust

LOCK_S = 60.0
"""An install writes and syncs up to 512 MiB, on an SD card even."""
_CHOSEN = "chosen.json"
_LONGEST_CHOSEN = 1 << 20


class Chosen(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """active, previous: bundles by the sha256 (hex) of their files. serials: of each model's name
    the serial that was activated last; an older one needs force, pruned bundles included."""

    active: Digest | None = None
    previous: Digest | None = None
    serials: Mapping[Name, int] = {}


class Installed(NamedTuple):
    """sha256: of the file. added: whether the store did not hold it before."""

    sha256: str
    bundle: Bundle
    added: bool


class Store:
    """A store in `folder`, which is made where it is not there.

    allow_unsigned: take and open bundles without a signature too. trust: whose signatures count
    [this machine's, read again for every bundle].

    Any method may raise StoreError: for a folder that cannot be read or written, for a damaged
    store, and where another process holds the lock for longer than `LOCK_S`.
    """

    def __init__(
        self, folder: Path, *, allow_unsigned: bool = False, trust: Trust | None = None
    ) -> None:
        self.folder = folder
        self.plans = folder / "plans"
        self._bundles = folder / "bundles"
        self._allow_unsigned = allow_unsigned
        self._trust = trust
        with self._told():
            make_folder(folder)
        with self._locked():
            for inner in (self._bundles, self.plans):
                make_folder(inner)
            self._sweep(self.folder, self._bundles)

    def chosen(self) -> Chosen:
        """What is active, and what was before."""
        path = self.folder / _CHOSEN
        try:
            with path.open("rb") as stream:
                return msgspec.json.decode(stream.read(_LONGEST_CHOSEN), type=Chosen)
        except FileNotFoundError:
            return Chosen()
        except (OSError, ValueError) as error:  # msgspec's errors are ValueErrors
            raise StoreError(
                f"{path} cannot be read",
                next_step="move it away, then install the bundle that is to run",
            ) from error

    def held(self) -> tuple[str, ...]:
        """sha256 of every bundle in the store, those that were never activated too."""
        with self._told():
            return tuple(sorted(path.name for path in self._bundles.iterdir() if _is_ours(path)))

    def active(self) -> tuple[str, Bundle]:
        """The active bundle and its sha256, as `open`; StoreError where none is."""
        # Between the two steps another process may change its choice and remove what it was.
        with self._locked():
            chosen = self.chosen().active
            if chosen is None:
                raise StoreError(
                    f"no bundle is active in {self.folder}",
                    next_step=f"scanside store install FILE --store {self.folder}",
                )
            return chosen, self.open(chosen)

    def previous(self) -> tuple[str, Bundle]:
        """As `active`, of the bundle that was active before."""
        with self._locked():
            sha256 = _insist(self.chosen().previous)
            return sha256, self.open(sha256)

    def open(self, sha256: str) -> Bundle:
        """Verify a bundle of the store; its bytes are read once.

        Raises BundleError as `Bundle.open`, UnsignedBundleError unless unsigned ones are allowed,
        StoreError where there is none of that sha256 or it is damaged.
        """
        path = self._bundles / sha256
        if not (_is_ours(path) and path.is_file()):
            raise StoreError(f"the store holds no bundle {sha256[:16]}", next_step=_INSTALL)
        raw = read_bytes_of(path)
        if hashlib.sha256(raw).hexdigest() != sha256:
            raise StoreError(f"the bundle {sha256[:16]} is damaged", next_step=_INSTALL)
        return self._verified(raw, path)

    def file_of(self, sha256: str) -> Path:
        """Where a bundle of the store lies; `open` says whether it is whole."""
        return self._bundles / sha256

    def install(self, file: Path, *, force: bool = False) -> Installed:
        """Verify a bundle's file and keep a copy of the bytes that were verified; it is not active.

        force: take one older than what was activated of that name, too.
        Raises BundleError as `Bundle.open`, UnsignedBundleError, DowngradeError.
        """
        raw = read_bytes_of(file)
        bundle = self._verified(raw, file)
        sha256 = hashlib.sha256(raw).hexdigest()
        path = self._bundles / sha256
        with self._locked():
            self._refuse_older(bundle, force)
            added = not path.exists()
            with replace_file(path) as stream:  # where it is there already, it may be damaged
                stream.write(raw)
        return Installed(sha256, bundle, added)

    def activate(self, sha256: str, *, force: bool = False) -> Bundle:
        """Make an installed bundle the active one, and what was active the previous one.

        Raises what `open` raises, and DowngradeError unless forced.
        """

        def choose(chosen: Chosen) -> tuple[Chosen, Bundle]:
            bundle = self.open(sha256)
            self._refuse_older(bundle, force)
            again = sha256 == chosen.active
            manifest = bundle.manifest
            following = Chosen(
                active=sha256,
                previous=chosen.previous if again else chosen.active,
                serials={**chosen.serials, manifest.name: manifest.serial},
            )
            return following, bundle

        return self._choose(choose)

    def rollback(self, expected: str | None = None) -> Bundle:
        """Make the previous bundle active, whatever its serial, and the active one the previous.

        expected: its sha256, where it was looked at before.
        Raises StoreError where there is none or it is another, and what `open` raises.
        """

        def choose(chosen: Chosen) -> tuple[Chosen, Bundle]:
            previous = _insist(chosen.previous)
            if previous != (expected or previous):
                raise StoreError(
                    "the previous bundle has become another one meanwhile", next_step="try again"
                )
            bundle = self.open(previous)
            # The serials stay: what was rolled back must not come back by way of an older one.
            following = msgspec.structs.replace(
                chosen, active=chosen.previous, previous=chosen.active
            )
            return following, bundle

        return self._choose(choose)

    def keep_plan(self, plan: bytes, evidence: Evidence, bundle: Bundle) -> Path:
        """Keep a plan of a bundle's network; returns its file. PlanError where the evidence is not
        about this plan and this bundle."""
        check_evidence(evidence, plan, bundle.manifest)
        with self._locked():
            return keep_plan(self.plans, plan, evidence)

    def discard(self, sha256: str) -> None:
        """Remove one bundle, unless it is the active or the previous one."""
        with self._locked():
            chosen = self.chosen()
            if sha256 not in (chosen.active, chosen.previous):
                remove_files([self._bundles / sha256])

    def prune(self) -> tuple[str, ...]:
        """Remove all bundles but the active and the previous one, and plans of neither; returns
        the bundles' sha256. StoreError for a damaged one of the two: nothing is removed then."""
        with self._locked():
            chosen = self.chosen()
            kept = {one: self._peek(one) for one in (chosen.active, chosen.previous) if one}
            surplus = tuple(one for one in self.held() if one not in kept)
            remove_files([self._bundles / one for one in surplus])
            prune_plans(self.plans, kept.values())
        return surplus

    def _choose(self, change: Callable[[Chosen], tuple[Chosen, Bundle]]) -> Bundle:
        """The one function that changes what is active: by one rename, under the lock."""
        with self._locked():
            following, bundle = change(self.chosen())
            with replace_file(self.folder / _CHOSEN) as stream:
                stream.write(msgspec.json.format(msgspec.json.encode(following)) + b"\n")
        return bundle

    def _verified(self, raw: bytes, file: Path) -> Bundle:
        bundle = read_bundle(io.BytesIO(raw), len(raw), self._trust)
        if not self._allow_unsigned:
            insist_on_signature(bundle, file)
        return bundle

    def _peek(self, sha256: str) -> Bundle:
        """A bundle whose signature does not matter now: it stays where it is."""
        path = self._bundles / sha256
        try:
            return Bundle.open(path, Trust())
        except BundleError as error:
            raise StoreError(f"the bundle {sha256[:16]} is damaged", next_step=_INSTALL) from error

    def _refuse_older(self, bundle: Bundle, force: bool) -> None:
        if not force:
            refuse_older(bundle.manifest, self.chosen().serials.get(bundle.manifest.name, 0))

    def _sweep(self, *folders: Path) -> None:
        """Remove what a process that was killed left half done."""
        remove_files(path for folder in folders for path in folder.glob(LEFTOVERS))

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with self._told(), locked(self.folder / "lock", LOCK_S):
            yield

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except TimeoutError as error:
            raise StoreError(
                f"another process has held the lock of {self.folder} for {LOCK_S:.0f} s",
                next_step="find it with `fuser` on the store's lock file, or wait",
            ) from error
        except OSError as error:
            raise StoreError(
                f"the store {self.folder} cannot be read or changed: {error.strerror}",
                next_step="check its permissions and the room on its disk",
            ) from error


_INSTALL = "install it again from its file"


def _insist(previous: str | None) -> str:
    if previous is None:
        raise StoreError(
            "no bundle was active before this one", next_step="install the one you want"
        )
    return previous


def _is_ours(path: Path) -> bool:
    return len(path.name) == 64 and not set(path.name) - set("0123456789abcdef")
