"""What a bundle and an installation are made of."""

from __future__ import annotations

import json
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

import pytest
from click.testing import CliRunner

pytest.importorskip("cyclonedx", reason="needs the extra [workstation]")

from cyclonedx.model.bom import Bom

from scanside.compile.cli import sbom
from scanside.runtime.bundle import REPORT, Bundle


def test_a_bundle_lists_its_members_and_what_made_it(tiny_bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "bom.json"
    assert CliRunner().invoke(sbom, [str(tiny_bundle), "--out", str(out)]).exit_code == 0
    content = json.loads(out.read_text())
    bundle = Bundle.open(tiny_bundle)
    assert content["bomFormat"] == "CycloneDX"
    assert content["metadata"]["component"]["hashes"][0]["content"] == bundle.identity
    parts = {part["name"]: part for part in content["components"]}
    for name in bundle.manifest.members:
        assert parts[name]["hashes"][0]["content"] == sha256(bundle.member(name)).hexdigest()
    for name, made_with in json.loads(bundle.member(REPORT))["versions"].items():
        assert parts[name]["version"] == made_with
    assert Bom.from_json(content).metadata.component is not None  # type: ignore[attr-defined]


def test_an_installation_lists_what_it_requires() -> None:
    content = json.loads(CliRunner().invoke(sbom, []).output)
    parts = {part["name"]: part for part in content["components"]}
    for name in ("numpy", "pyzmq", "cryptography", "torch"):
        assert parts[name]["version"] == version(name)
        assert parts[name]["purl"].startswith(f"pkg:pypi/{name}@")
    assert any("licenses" in part for part in parts.values())
    listed = {one["ref"]: one.get("dependsOn", []) for one in content["dependencies"]}
    ours = next(needed for name, needed in listed.items() if name.startswith("pkg:pypi/scanside@"))
    assert parts["numpy"]["bom-ref"] in ours
