"""A device's installation as CycloneDX 1.6 JSON."""

from __future__ import annotations

from collections.abc import Mapping

from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from scanside.jetson.inventory.parts import OURS, Part, known
from scanside.runtime.platforms import Release


def sbom(parts: Mapping[str, Part], release: Release) -> str:
    """Scanside with everything that it brings, and what it finds there: Python, CUDA and TensorRT
    of the JetPack."""
    components = {name: _component(part) for name, part in parts.items()}
    root = Component(
        name=OURS,
        version=parts[OURS].version,
        type=ComponentType.APPLICATION,
        bom_ref=f"{OURS}-jp{release.jetpack}",
    )
    components[OURS] = root
    platform = [_found_there(name, release) for name in ("python", "cuda", "tensorrt", "ubuntu")]
    bom = Bom()
    bom.metadata.component = root
    bom.components.update(one for name, one in components.items() if name != OURS)
    bom.components.update(platform)
    for name, part in parts.items():
        needed = [components[each] for each in part.needs]
        bom.register_dependency(components[name], needed + (platform if name == OURS else []))
    return str(JsonV1Dot6(bom).output_as_string(indent=2)) + "\n"


def _component(part: Part) -> Component:
    url = PackageURL("pypi", name=part.name, version=part.version)
    row = known().get(part.name)
    return Component(
        name=part.name,
        version=part.version,
        type=ComponentType.LIBRARY,
        bom_ref=str(url),
        purl=url,
        licenses=[DisjunctiveLicense(name=part.licence)],
        description=row.purpose if row else None,
    )


def _found_there(name: str, release: Release) -> Component:
    number, doubt = getattr(release, name), "; uncertain" if name in release.uncertain else ""
    return Component(
        name=name,
        version=number,
        type=ComponentType.PLATFORM,
        bom_ref=f"{name}-{number}",
        description=f"of JetPack, not of Scanside{doubt}",
    )
