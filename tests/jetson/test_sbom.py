"""What the lists of a device's software say, against the pins, the metadata and real wheels."""

from __future__ import annotations

import json
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest
from click.testing import CliRunner

pytest.importorskip("cyclonedx", reason="needs the extra [workstation]")

from conftest import REPOSITORY
from cyclonedx.model.bom import Bom
from packaging.requirements import Requirement

from scanside.jetson.inventory.__main__ import inventory, pinned_lists
from scanside.jetson.inventory.parts import (
    BESIDE,
    OURS,
    known,
    parts_of,
    pinned_parts,
    supported,
)
from scanside.jetson.inventory.soup import soup_page
from scanside.runtime.errors import PackageError
from scanside.runtime.platforms import releases

CONSTRAINTS = REPOSITORY / "constraints.txt"


def test_the_page_is_what_the_command_writes() -> None:
    page = (REPOSITORY / "docs" / "soup.md").read_text()
    assert page == soup_page(pinned_lists(CONSTRAINTS)), "run `make soup`"


def test_everything_that_a_device_installs_is_listed_with_a_version_and_a_licence() -> None:
    import tomllib

    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    declared = {Requirement(text).name for text in project["dependencies"]}
    for release in supported():
        parts = pinned_parts(release, CONSTRAINTS)
        assert declared | set(BESIDE) <= parts.keys()
        assert not {"torch", "onnx", "cyclonedx-python-lib"} & parts.keys()
        for part in parts.values():
            assert part.version or part.name == OURS, part
            assert part.licence not in ("", "?", "UNKNOWN"), part
            assert set(part.needs) <= parts.keys()
            assert part.name in known()


def test_every_row_is_of_something_that_some_device_has() -> None:
    there = {name for release in supported() for name in pinned_parts(release, CONSTRAINTS)}
    assert known().keys() == there


def test_jetpack_6_gets_the_numpy_that_its_bindings_want() -> None:
    assert pinned_parts(releases()["6.2"], CONSTRAINTS)["numpy"].version.startswith("1.")
    assert pinned_parts(releases()["7.2"], CONSTRAINTS)["numpy"].version == version("numpy")


def test_the_sbom_is_cyclonedx_and_whole(tmp_path: Path) -> None:
    out = tmp_path / "device.cdx.json"
    words = ["sbom", "--jetpack", "6.2", "--constraints", str(CONSTRAINTS), "--out", str(out)]
    assert CliRunner().invoke(inventory, words).exit_code == 0
    content = json.loads(out.read_text())
    bom = Bom.from_json(content)  # type: ignore[attr-defined]
    assert bom.metadata.component.name == OURS
    names = {one["name"]: one for one in content["components"]}
    assert names["pyzmq"]["purl"] == f"pkg:pypi/pyzmq@{version('pyzmq')}"
    assert names["tensorrt"]["type"] == "platform"
    needs = {one["ref"]: set(one.get("dependsOn", ())) for one in content["dependencies"]}
    ours = needs["scanside-jp6.2"]
    assert names["cryptography"]["bom-ref"] in ours
    assert names["tensorrt"]["bom-ref"] in ours
    assert names["cffi"]["bom-ref"] in needs[names["cryptography"]["bom-ref"]]


def make_wheel(folder: Path, name: str, number: str, *needs: str) -> Path:
    path = folder / f"{name}-{number}-py3-none-any.whl"
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {number}", "License: MIT"]
    lines += [f"Requires-Dist: {one}" for one in needs]
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{name}-{number}.dist-info/METADATA", "\n".join(lines) + "\n")
    return path


def test_of_a_packages_wheels_what_lies_there_is_listed(tmp_path: Path) -> None:
    wheels = [
        make_wheel(tmp_path, "scanside", "9.9", "click>=8", 'colorama; sys_platform == "win32"'),
        make_wheel(tmp_path, "click", "8.0.1"),
        make_wheel(tmp_path, "stranger", "1.0"),
    ]
    parts = parts_of(wheels, releases()["6.2"])
    assert {name: part.version for name, part in parts.items()} == {
        "scanside": "9.9",
        "click": "8.0.1",
        "stranger": "1.0",
    }


@pytest.mark.parametrize("name", ["unheard-of", "mako"])
def test_a_wheel_that_is_missing_is_told(tmp_path: Path, name: str) -> None:
    """One that soup.json knows too."""
    wheels = [make_wheel(tmp_path, "scanside", "9.9", name)]
    with pytest.raises(PackageError, match=name):
        parts_of(wheels, releases()["6.2"])


def test_the_engine_of_the_cpu_is_listed_with_what_it_needs_on_each_python() -> None:
    old = pinned_parts(releases()["6.2"], CONSTRAINTS)
    new = pinned_parts(releases()["7.2"], CONSTRAINTS)
    assert {"coloredlogs", "sympy"} <= set(old["onnxruntime"].needs)
    assert "sympy" not in new["onnxruntime"].needs
    assert {"humanfriendly", "mpmath"} <= old.keys() - new.keys()


def test_a_licences_own_text_is_not_its_name(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "scanside", "9.9")
    with zipfile.ZipFile(wheel, "w") as archive:
        lines = ["Metadata-Version: 2.1", "Name: scanside", "Version: 9.9"]
        lines += ["License: Copyright (c) somebody", "        All rights ...", "Classifier: L"]
        lines[-1] = "Classifier: License :: OSI Approved :: BSD License"
        archive.writestr("scanside-9.9.dist-info/METADATA", "\n".join(lines) + "\n")
    assert parts_of([wheel], releases()["6.2"])[OURS].licence == "BSD"


def test_what_was_never_settled_of_a_jetpack_is_said(tmp_path: Path) -> None:
    out = tmp_path / "device.cdx.json"
    doubts = {}
    for jetpack in ("7.1", "7.2"):
        words = ["sbom", "--jetpack", jetpack, "--constraints", str(CONSTRAINTS)]
        assert CliRunner().invoke(inventory, [*words, "--out", str(out)]).exit_code == 0
        components = json.loads(out.read_text())["components"]
        doubts[jetpack] = {
            one["name"] for one in components if "; uncertain" in one.get("description", "")
        }
    assert doubts == {"7.1": {"python"}, "7.2": set()}
