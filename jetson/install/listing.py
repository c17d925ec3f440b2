"""What is installed on a device: bundles, their plans, and versions of the application."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from scanside.jetson.application import trial, versions
from scanside.jetson.install import evidence, places
from scanside.jetson.machine import Machine
from scanside.runtime.bundle import Bundle
from scanside.runtime.errors import ScansideError
from scanside.runtime.plans import SOURCES, Evidence
from scanside.runtime.store import Store


class ListedBundle(msgspec.Struct, frozen=True, kw_only=True):
    """place: "active", "previous" or empty. error: why it cannot be served, or empty. plans: keys
    of those that are kept for its network. installed: what it showed when it was."""

    sha256: str
    place: str
    error: str = ""
    name: str = ""
    version: str = ""
    serial: int | None = None
    signer: str = ""
    plans: tuple[str, ...] = ()
    installed: evidence.Installation | None = None


class ListedVersion(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    version: str
    place: str


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """on_trial: the version that was not seen READY yet, or empty."""

    bundles: tuple[ListedBundle, ...]
    versions: tuple[ListedVersion, ...]
    on_trial: str = ""

    def lines(self) -> Iterator[str]:
        """For a terminal, one each."""
        for one in self.bundles:
            yield f"{one.sha256[:16]}  {_what(one)}  {one.place}".rstrip()
        if not self.bundles:
            yield "no bundle is installed: scanside device install FILE"
        for version in self.versions:
            trial_mark = ", on trial" if version.name == self.on_trial else ""
            yield f"application {version.name}  {version.place}{trial_mark}".rstrip()


def read_listing(machine: Machine, store: str, *, allow_unsigned: bool = False) -> Listing:
    """Raises StoreError for a store that is damaged or may not be read."""
    folder = trial.APPLICATION
    here = machine.path(str(folder))
    places_of = {
        trial.linked(here, trial.PREVIOUS): "previous",
        trial.linked(here, trial.CURRENT): "current",
    }
    listed = tuple(
        ListedVersion(name=name, version=whole.version, place=places_of.get(name, ""))
        for name, whole in versions.whole_versions(machine).items()
    )
    note = trial.pending(here)
    return Listing(
        bundles=_bundles(machine, store, allow_unsigned),
        versions=listed,
        on_trial=str(note["version"]) if note else "",
    )


def _bundles(machine: Machine, store: str, allow_unsigned: bool) -> tuple[ListedBundle, ...]:
    if not machine.path(store).is_dir():
        return ()
    place = places.open_store(machine, store, allow_unsigned=allow_unsigned)
    chosen = place.chosen()
    marks = {chosen.previous: "previous", chosen.active: "active"}
    return tuple(_listed(place, sha256, marks.get(sha256, "")) for sha256 in place.held())


def _listed(store: Store, sha256: str, mark: str) -> ListedBundle:
    try:
        bundle = store.open(sha256)
    except ScansideError as error:
        return ListedBundle(sha256=sha256, place=mark, error=error.message)
    manifest = bundle.manifest
    return ListedBundle(
        sha256=sha256,
        place=mark,
        name=manifest.name,
        version=manifest.version,
        serial=manifest.serial,
        signer=bundle.signer,
        plans=_plans(store, bundle),
        installed=evidence.read(store.folder, sha256),
    )


def _plans(store: Store, bundle: Bundle) -> tuple[str, ...]:
    members = bundle.manifest.members
    networks = {members[source].sha256 for source in SOURCES if source in members}
    keys = []
    for path in sorted(store.plans.glob("*.json")):
        try:
            one = msgspec.json.decode(path.read_bytes(), type=Evidence)
        except (OSError, ValueError):
            continue
        if one.onnx in networks:
            keys.append(one.key)
    return tuple(keys)


def _what(one: ListedBundle) -> str:
    if one.error:
        return f"cannot be served: {one.error}"
    signer = f"signed by {one.signer[:16]}" if one.signer else "unsigned"
    what = f"{one.name} {one.version}, serial {one.serial}, {signer}"
    if one.plans:
        what += f", plans {', '.join(key[:16] for key in one.plans)}"
    if one.installed:
        what += f", {one.installed.engine} {one.installed.latency.median_ms:.1f} ms"
    return what
