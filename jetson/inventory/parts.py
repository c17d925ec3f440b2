"""The distributions of a device's base install, and what is known of each."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib.metadata import Distribution, distributions
from importlib.resources import files
from pathlib import Path

import msgspec
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scanside.jetson.package.wheels import ALWAYS, COMPILED, OPTIONAL, Target, pins
from scanside.runtime.errors import PackageError
from scanside.runtime.platforms import Release, releases

OURS = "scanside"
BESIDE = (*ALWAYS, *COMPILED, *OPTIONAL)
"""What the offline package brings beside Scanside and what it requires."""
_LONGEST = 90


class Known(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A row of soup.json, by canonical name. purpose: what Scanside uses it for. anomalies: where
    its known ones are listed. carries: native libraries inside its wheels. licence: where its
    metadata cannot be read here. needs: likewise, or where another version is installed here than
    on a device."""

    purpose: str
    anomalies: str
    carries: str = ""
    licence: str = ""
    needs: tuple[str, ...] = ()


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """needs: canonical names of other parts."""

    name: str
    version: str
    licence: str
    needs: tuple[str, ...]


def known() -> dict[str, Known]:
    raw = files(__package__).joinpath("soup.json").read_bytes()
    return msgspec.json.decode(raw, type=dict[str, Known])


def supported() -> list[Release]:
    """The newest release of each Python that a device may have."""
    newest = {one.python: one for one in releases().values() if not one.refused}
    return list(newest.values())


def pinned_parts(release: Release, constraints: Path) -> dict[str, Part]:
    """What the offline package for a release brings, by name: pinned versions, and licences from
    the metadata that is installed here.

    Raises PackageError for a part of which nothing is known.
    """
    target = Target.of(release)
    versions = pins(release, constraints, target)
    parts = _closure(_by_name(distributions()), target, (OURS, *BESIDE), known())
    return {
        name: msgspec.structs.replace(part, version=versions[name]) if name != OURS else part
        for name, part in parts.items()
    }


def parts_of(places: Sequence[Path], release: Release) -> dict[str, Part]:
    """All that lies in wheels or in a folder of packages, as an environment has one.

    Raises PackageError where one of them needs what is not among them.
    """
    there = _by_name(distributions(path=[str(place) for place in places]))
    return _closure(there, Target.of(release), (OURS, *there), {})


def _by_name(found: object) -> dict[str, Distribution]:
    names: dict[str, Distribution] = {}
    for one in found:  # type: ignore[attr-defined]
        names.setdefault(canonicalize_name(one.metadata["Name"]), one)
    return names


def _closure(
    there: Mapping[str, Distribution],
    target: Target,
    roots: Sequence[str],
    rows: Mapping[str, Known],
) -> dict[str, Part]:
    todo, parts = list(roots), dict[str, Part]()
    while todo:
        name = todo.pop()
        if name in parts:
            continue
        found, row = there.get(name), rows.get(name)
        licence = row.licence if row and row.licence else _licence(found) if found else ""
        if not licence:
            raise PackageError(
                f"nothing is known of {name}, which the device needs",
                next_step="install it here, or give it a row with a licence in soup.json",
            )
        texts = [*(found.requires or () if found else ()), *(row.needs if row else ())]
        wanted = [one for one in map(Requirement, texts) if target.wants(one)]
        needs = tuple(sorted({canonicalize_name(one.name) for one in wanted}))
        version = found.version if found else ""
        parts[name] = Part(name=name, version=version, licence=licence, needs=needs)
        todo += needs
    return dict(sorted(parts.items()))


def _licence(found: Distribution) -> str:
    metadata = found.metadata
    for key in ("License-Expression", "License"):
        lines = (metadata.get_all(key) or [""])[0].strip().splitlines()
        if len(lines) == 1 and len(lines[0]) <= _LONGEST:  # else it is the licence's own text
            return str(lines[0])
    trove = [one for one in metadata.get_all("Classifier") or () if one.startswith("License ::")]
    return re.sub(r" License$", "", trove[0].rpartition("::")[2].strip()) if trove else "?"
