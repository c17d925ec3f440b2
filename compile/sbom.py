"""What a bundle and an installation are made of, as CycloneDX 1.6: for whoever has to list it."""

from __future__ import annotations

import json
import re
import uuid
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from scanside.runtime.bundle import MANIFEST, REPORT, SIGNATURE, Bundle

NAME = "scanside"
_REQUIREMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_NAMESPACE = uuid.UUID("9d0dfc0e-6f3b-4b1e-8f5c-6f1d1f6a2c11")


def bundle_sbom(bundle: Bundle) -> str:
    """JSON: the model with its identity, its members with their sha256, and the versions of what
    made it."""
    manifest = bundle.manifest
    model = Component(
        name=manifest.name,
        version=manifest.version,
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref=bundle.identity,
        description=manifest.description or None,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=bundle.identity)],
    )
    bom = Bom(serial_number=uuid.uuid5(_NAMESPACE, bundle.identity))
    bom.metadata.component = model
    parts = [
        Component(
            name=name,
            type=ComponentType.FILE,
            bom_ref=name,
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=member.sha256)],
        )
        for name, member in manifest.members.items()
        if name not in (MANIFEST, SIGNATURE)
    ]
    versions = json.loads(bundle.member(REPORT)).get("versions", {})
    parts += [_package(name, version) for name, version in sorted(versions.items())]
    bom.components.update(parts)
    bom.register_dependency(model, parts)
    return _as_json(bom)


def install_sbom() -> str:
    """JSON: this installation of Scanside with everything that it requires and that is there."""
    todo = [NAME]
    found: dict[str, Distribution] = {}
    while todo:
        name = _normal(todo.pop())
        if name in found:
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:  # of an extra, or for another platform
            continue
        todo += [_REQUIREMENT.match(one)[0] for one in found[name].requires or ()]  # type: ignore[index]
    components = {name: _package(name, one.version, one) for name, one in found.items()}
    bom = Bom()
    bom.metadata.component = components[NAME]
    bom.components.update(part for name, part in components.items() if name != NAME)
    for name, one in found.items():
        needed = {_normal(_REQUIREMENT.match(each)[0]) for each in one.requires or ()}  # type: ignore[index]
        bom.register_dependency(
            components[name], [components[each] for each in sorted(needed & found.keys())]
        )
    return _as_json(bom)


def _package(name: str, version: str, one: Distribution | None = None) -> Component:
    licences = []
    if one is not None:
        keys = [key for key in ("License-Expression", "License") if key in one.metadata]
        lines = one.metadata[keys[0]].strip().splitlines() if keys else []
        licences = [DisjunctiveLicense(name=lines[0][:100])] if lines else []
    kind = ComponentType.APPLICATION if name == NAME else ComponentType.LIBRARY
    url = PackageURL("generic" if name == "python" else "pypi", name=name, version=version)
    return Component(
        name=name, version=version, type=kind, bom_ref=str(url), purl=url, licenses=licences
    )


def _normal(name: str) -> str:
    """PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _as_json(bom: Bom) -> str:
    return str(JsonV1Dot6(bom).output_as_string(indent=2))
