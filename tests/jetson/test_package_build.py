"""Building offline packages: wheels that fit the device, the same bytes twice, a page to follow."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from conftest import REPOSITORY
from packaging.requirements import Requirement
from packaging.utils import parse_wheel_filename

from scanside.jetson.package import open_package
from scanside.jetson.package.wheels import Target, distribution, insist_that_it_runs, needs, pins
from scanside.runtime.errors import PackageError
from scanside.runtime.platforms import releases
from scanside.runtime.signing import Trust, new_key

ORIN, THOR = Target("3.10", 35), Target("3.12", 39)
SUPPORTED = [name for name, release in releases().items() if not release.refused]


@pytest.mark.parametrize(
    ("name", "orin", "thor"),
    [
        ("a-1-py3-none-any.whl", True, True),
        ("a-1-py2.py3-none-any.whl", True, True),
        ("a-1-cp310-cp310-manylinux_2_28_aarch64.whl", True, False),
        ("a-1-cp312-cp312-manylinux_2_39_aarch64.whl", False, True),
        ("a-1-cp310-cp310-manylinux_2_36_aarch64.whl", False, False),  # a newer glibc
        ("a-1-cp310-cp310-linux_aarch64.whl", True, False),  # compiled on a builder
        ("a-1-cp39-abi3-manylinux2014_aarch64.whl", True, True),
        ("a-1-cp311-abi3-manylinux2014_aarch64.whl", False, True),
        ("a-1-cp310-cp310-manylinux_2_28_x86_64.whl", False, False),
        ("a-1-cp311-cp311-manylinux_2_28_aarch64.whl", False, False),
        ("a-1-cp310-cp310-musllinux_1_2_aarch64.whl", False, False),
    ],
)
def test_which_wheels_run_where(name, orin, thor):
    tags = parse_wheel_filename(name)[3]
    assert (ORIN.runs(tags), THOR.runs(tags)) == (orin, thor)


def test_markers_are_the_devices_own():
    wants = [
        Requirement(text)
        for text in (
            "a; python_version < '3.11'",
            "a; python_full_version >= '3.12'",
            "a; platform_machine == 'aarch64'",
            "a; platform_machine == 'x86_64'",
            "a; extra == 'test'",
        )
    ]
    assert [ORIN.wants(one) for one in wants] == [True, False, True, False, False]
    assert [THOR.wants(one) for one in wants] == [False, True, True, False, False]


@pytest.mark.parametrize("jetpack", SUPPORTED)
def test_every_supported_release_has_pins(jetpack):
    release = releases()[jetpack]
    found = pins(release, REPOSITORY / "constraints.txt", Target.of(release))
    assert {"numpy", "onnxruntime", "pip", "pycuda", "pyzmq", "cuda-bindings"} <= set(found)
    assert found["numpy"].startswith("1." if release.numpy_below == "2" else "2.")
    # CUDA's major version decides its bindings'.
    assert found["cuda-bindings"].split(".")[0] == release.cuda.split(".")[0]


def test_numpy_above_what_tensorrt_takes_is_refused(tmp_path):
    import msgspec

    release = msgspec.structs.replace(releases()["6.2"], numpy_below="1")
    with pytest.raises(PackageError, match="NumPy below 1"):
        pins(release, REPOSITORY / "constraints.txt", ORIN)


def wheel(folder: Path, metadata: str) -> Path:
    path = folder / "a-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a-1.dist-info/METADATA", f"Name: a\nVersion: 1\n{metadata}\n")
    return path


def test_what_a_wheel_needs_must_be_pinned_and_go_together(tmp_path):
    text = 'Requires-Dist: B_c>=2; python_version < "3.11"\nRequires-Dist: d; extra == "x"'
    assert needs(wheel(tmp_path, text), ORIN, {"b-c": "2.1"}) == ["b-c"]
    assert needs(wheel(tmp_path, text), THOR, {}) == []
    with pytest.raises(PackageError, match="pinned nowhere"):
        needs(wheel(tmp_path, text), ORIN, {})
    with pytest.raises(PackageError, match="is pinned"):
        needs(wheel(tmp_path, text), ORIN, {"b-c": "1.9"})
    with pytest.raises(PackageError, match="needs Python"):
        needs(wheel(tmp_path, "Requires-Python: >=3.11"), ORIN, {})


def test_a_wheel_for_another_machine_is_refused(tmp_path):
    with pytest.raises(PackageError, match="is not for Python"):
        insist_that_it_runs(tmp_path / "pycuda-2026.1-cp310-cp310-linux_x86_64.whl", ORIN)
    with pytest.raises(PackageError, match="not a wheel"):
        distribution(tmp_path / "pycuda.whl")


def pack(out: Path, *words: str, source: Path = REPOSITORY) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "scanside.jetson.package", "--out", str(out)]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1790000000"}
    return subprocess.run(
        [*command, "--source", str(source), *words],
        capture_output=True, text=True, timeout=240, env=environment, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--jetpack", "6.2"], "explicit word"),
        (["--jetpack", "5.1", "--unsigned"], "update the device"),
        (["--jetpack", "9.9", "--unsigned"], "no table of platforms"),
    ],
)
def test_what_cannot_be_packed_is_refused(tmp_path, words, said):
    done = pack(tmp_path / "out", *words)
    assert done.returncode == PackageError.exit_code
    assert said in done.stderr
    assert not (tmp_path / "out").exists()


def test_the_same_inputs_give_the_same_bytes(tmp_path):
    """And the package opens, setup.sh's first check passes, and its page holds all it says."""
    key = tmp_path / "release"
    signer = new_key(key)
    sources = [_copy(REPOSITORY, tmp_path / "one")]
    sources.append(_copy(sources[0], tmp_path / "another", mode=0o600))  # made by someone else
    words = ["--jetpack", "6.2", "--key", str(key)]
    made = [pack(tmp_path / n, *words, source=one) for n, one in zip("ab", sources, strict=True)]
    if any("pip could not" in done.stderr for done in made):
        pytest.skip("needs the network: PyPI")
    assert [done.returncode for done in made] == [0, 0], made[0].stderr
    first, second = (next((tmp_path / n).glob("*.tar")) for n in "ab")
    assert first.name == "scanside-0.1.0-jp6.2.tar"
    digests = {hashlib.sha256(path.read_bytes()).hexdigest() for path in (first, second)}
    assert len(digests) == 1
    folder = first.with_suffix("")
    package = open_package(folder, Trust.load(_trust(tmp_path, key)))
    assert package.signer == signer
    assert package.contents.engines == ("onnxruntime",)
    assert package.contents.missing == ("pycuda",)
    assert all(ORIN.runs(parse_wheel_filename(path.name)[3]) for path in package.wheels)
    subprocess.run(
        ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=folder, check=True
    )
    page = (folder / "index.html").read_text()
    assert signer in page
    assert f"sudo bash setup.sh --key {signer[:16]}" in page
    assert "For the CPU engine only: pycuda is not in it" in page
    assert "http://" not in page.split("<hr>")[0]
    for file in package.contents.files:
        assert file.name == "index.html" or file.sha256 in page


def _copy(source: Path, folder: Path, mode: int | None = None) -> Path:
    """A checkout as far as it is packed."""
    names = ("pyproject.toml", "README.md", "LICENSE", "constraints.txt", "docs")
    for name in (*names, "benchmarks", "compile", "jetson", "runtime", "train"):
        folder.mkdir(exist_ok=True)
        if (source / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source / name, folder / name, ignore=ignored)
        else:
            shutil.copy(source / name, folder / name)
    for path in folder.rglob("*"):
        if mode is not None and path.is_file():
            path.chmod(mode)
    return folder


def _trust(folder: Path, key: Path) -> Path:
    trust = folder / "trust"
    trust.mkdir()
    shutil.copy(f"{key}.pub", trust)
    return trust


@pytest.mark.parametrize("damage", ["setup.sh", "package.json", "wheels/x.whl"])
def test_setup_refuses_before_it_runs_anything(tmp_path, damage):
    """On this processor too: the sums come first."""
    folder = tmp_path / "p"
    (folder / "wheels").mkdir(parents=True)
    shutil.copy(REPOSITORY / "jetson" / "package" / "setup.sh", folder)
    (folder / "package.json").write_text('{"jetpack":"6.2","python":"3.10","version":"0.1.0"}')
    (folder / "wheels" / "x.whl").write_text("x")
    names = ("package.json", "setup.sh", "wheels/x.whl")
    lines = [
        f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names
    ]
    (folder / "SHA256SUMS").write_text("".join(lines))

    def run() -> tuple[int, str]:
        command = ["bash", str(folder / "setup.sh"), "--allow-unsigned", "--dry-run"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        return done.returncode, done.stderr

    code, said = run()  # whole: it gets as far as the machine
    assert code == PackageError.exit_code
    assert "not what was packed" not in said
    with (folder / damage).open("a") as stream:
        stream.write("\n")
    code, said = run()
    assert code == PackageError.exit_code
    assert f"not what was packed: {damage}" in said
