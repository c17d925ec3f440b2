"""The house's rules: who may import whom, what is public, what may be depended on."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
import tomllib
from conftest import REPOSITORY

from scanside.runtime import errors

ROOMS = ("train", "compile", "runtime", "benchmarks", "jetson")
MAY_IMPORT = {
    "runtime": set(),
    "train": {"runtime"},
    "compile": {"train", "runtime"},
    "jetson": {"runtime", "compile.plan"},
    "benchmarks": {"train", "compile", "runtime", "jetson"},
}
WORKSTATION = {
    "jinja2", "lightning_fabric", "matplotlib", "modelopt", "monai", "onnx", "onnxscript", "torch",
    "torch_pruning", "torchao", "torchio",
}  # fmt: skip
PERMISSIVE = (
    "MIT",
    "BSD",
    "APACHE",
    "ISC",
    "PSF",
    "PYTHON",
    "HPND",
    "MPL",
    "UNLICENSE",
    "ZLIB",
    "CC0",
)
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())


def sources(room: str) -> list[Path]:
    return sorted((REPOSITORY / room).rglob("*.py"))


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
    return found


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_import_only_whom_they_may_know(room):
    allowed = MAY_IMPORT[room] | {room}
    for path in sources(room):
        for name in imports(path):
            if name.startswith("scanside."):
                inner = name.removeprefix("scanside.")
                known = any(inner == one or inner.startswith(f"{one}.") for one in allowed)
                assert known, f"{path.relative_to(REPOSITORY)} imports {name}"


def test_plans_are_built_with_the_runtime_and_tensorrt_alone():
    others = {
        name
        for name in imports(REPOSITORY / "compile" / "plan.py")
        if name.split(".")[0] not in {*sys.stdlib_module_names, "tensorrt", "numpy"}
    }
    assert all(name.startswith("scanside.runtime.") for name in others)
    assert (REPOSITORY / "compile" / "__init__.py").read_text() == ""


@pytest.mark.parametrize("room", ["runtime", "jetson"])
def test_the_device_imports_nothing_of_the_workstation(room):
    for path in sources(room):
        tops = {name.split(".")[0] for name in imports(path)}
        assert not tops & WORKSTATION, path


def test_the_runtime_loads_where_the_workstation_is_missing():
    modules = [
        "scanside." + ".".join(path.relative_to(REPOSITORY).with_suffix("").parts)
        for path in sources("runtime")
        if path.name not in ("__init__.py", "__main__.py")
    ]
    script = f"""
import importlib, sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {sorted(WORKSTATION)!r}:
            raise ImportError(name)
sys.meta_path.insert(0, Refuse())
for name in {modules!r}:
    importlib.import_module(name)
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_help_loads_nothing_heavy():
    script = """
import sys
from scanside.runtime.cli import scanside
try:
    scanside(["--help"])
except SystemExit:
    pass
print(sorted({"torch", "onnx", "numpy", "zmq", "pydicom", "matplotlib"} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, timeout=60, capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
    for verb in PROJECT["project"]["entry-points"]["scanside.verbs"]:
        assert f"\n  {verb} " in done.stdout


def test_every_folder_with_code_is_packaged():
    packages = {
        "scanside." + ".".join(path.parent.relative_to(REPOSITORY).parts)
        for room in ROOMS
        for path in sources(room)
    }
    assert packages == set(PROJECT["tool"]["setuptools"]["packages"])


def test_the_tree_of_errors_is_drawn_as_it_is():
    drawn = errors.__doc__ or ""
    for name, error in inspect.getmembers(errors, inspect.isclass):
        if issubclass(error, errors.ScansideError):
            assert name in drawn, f"{name} is missing in the docstring"
            assert error is errors.ScansideError or error.exit_code not in (0, 1, 2), name


def test_the_public_api_is_pinned():
    import scanside.runtime

    assert sorted(scanside.runtime.__all__) == PUBLIC


PUBLIC = ["Client", "FrameFacts", "Outcome", "Reason", "Result"]


def test_dependencies_are_permissive():
    """Every installed distribution that a declared dependency pulls in, by its own metadata."""
    wanted = [*PROJECT["project"]["dependencies"]]
    for extra in ("cpu", "dicom", "peers", "workstation"):
        wanted += PROJECT["project"]["optional-dependencies"][extra]
    todo, seen = [_name(one) for one in wanted], set()
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        try:
            found = distribution(name)
        except PackageNotFoundError:
            continue  # for another platform
        text = _licence(found)
        assert any(word in text for word in PERMISSIVE), f"{name}: {text[:80]!r}"
        assert "AFFERO" not in text, name
        assert "GPL" not in text.replace("LGPL", ""), f"{name}: {text[:80]!r}"
        todo += [_name(one) for one in found.requires or () if "extra ==" not in one]
    assert len(seen) > 30


def _name(requirement: str) -> str:
    for stop in "<>=!~[; (":
        requirement = requirement.split(stop)[0]
    return requirement.strip().lower()


def _licence(found) -> str:
    metadata = found.metadata
    parts = [metadata.get("License-Expression") or "", (metadata.get("License") or "")[:200]]
    parts += [c for c in metadata.get_all("Classifier") or () if c.startswith("License ::")]
    if not any(parts):  # torchao names its licence only in the file
        files = [file for file in found.files or () if file.name.startswith("LICENSE")]
        parts = [file.locate().read_text()[:300] for file in files]
        return " ".join(parts).upper().replace("REDISTRIBUTION AND USE IN SOURCE", "BSD")
    return " ".join(parts).upper()


def test_constraints_pin_one_version_of_everything_declared():
    pins = {
        line.split("==")[0].strip().lower().replace("_", "-")
        for line in (REPOSITORY / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    wanted = [*PROJECT["project"]["dependencies"]]
    for extra in ("cpu", "dicom", "peers", "workstation", "dev"):
        wanted += PROJECT["project"]["optional-dependencies"][extra]
    assert {_name(one).replace("_", "-") for one in wanted} <= pins


def test_no_file_has_outgrown_its_idea():
    long = [
        f"{path.relative_to(REPOSITORY)} ({count})"
        for room in ROOMS
        for path in sources(room)
        if (count := len(path.read_text().splitlines())) > 350
    ]
    assert not long
