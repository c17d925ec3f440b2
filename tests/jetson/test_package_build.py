"""Building offline packages: wheels that fit the device, the same bytes twice, a page to follow."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from conftest import REPOSITORY
from packaging.requirements import Requirement
from packaging.utils import parse_wheel_filename

from bundles import write_test_bundle
from scanside.jetson.inventory.parts import pinned_parts
from scanside.jetson.package import open_package
from scanside.jetson.package.build import Order, build_package
from scanside.jetson.package.wheels import Target, distribution, insist_that_it_fits, needs, pins
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


PIP = """
import os, sys
open(os.environ["CALLS"], "a").write(" ".join(sys.argv[1:]) + "\\n")
scanside = os.path.join(os.path.dirname(sys.executable), "scanside")
open(scanside, "w").write('#!/bin/sh\\necho "scanside $*" >>"$CALLS"\\n')
os.chmod(scanside, 0o755)
"""


def _package_for_setup(folder: Path, python: str) -> Path:
    """With a pip that only writes down what it was told to install."""
    (folder / "wheels").mkdir(parents=True)
    shutil.copy(REPOSITORY / "jetson" / "package" / "setup.sh", folder)
    (folder / "package.json").write_text(f'{{"jetpack":"6.2","python":"{python}","version":"1"}}')
    (folder / "wheels" / "x-1-py3-none-any.whl").write_text("x")
    with zipfile.ZipFile(folder / "wheels" / "pip-26.3-py3-none-any.whl", "w") as archive:
        archive.writestr("pip/__main__.py", PIP)
    (folder / "bundles").mkdir()
    (folder / "bundles" / "ct.scanside").write_text("x")
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))
    sums = [f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}" for name in names]
    (folder / "SHA256SUMS").write_text("\n".join(sums) + "\n")
    return folder


@pytest.mark.skipif(not Path("/usr/bin/python3").exists(), reason="the system has no Python")
@pytest.mark.parametrize(
    ("words", "ends"), [(["--allow-unsigned"], " --allow-unsigned"), (["--key", "ab"], "")]
)
def test_setup_installs_what_was_summed_and_nothing_else(tmp_path, words, ends):
    """Not a wheel that an older copy left in the folder; and it names the next command whole."""
    python = subprocess.run(
        ["/usr/bin/python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    folder = _package_for_setup(tmp_path / "a package", python)
    (folder / "wheels" / "older-0.9-py3-none-any.whl").write_text("from before")
    tools = tmp_path / "tools"
    tools.mkdir()
    for name, text in (("uname", "echo aarch64"), ("id", "echo 0")):
        (tools / name).write_text(f"#!/bin/sh\n{text}\n")
        (tools / name).chmod(0o755)
    calls = tmp_path / "calls"
    environment = {"PATH": f"{tools}:{os.environ['PATH']}", "CALLS": str(calls)}
    done = subprocess.run(
        ["bash", str(folder / "setup.sh"), *words],
        capture_output=True, text=True, timeout=60, check=False, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    install, doctor, provision = calls.read_text().splitlines()
    assert install.endswith("--ignore-installed wheels/x-1-py3-none-any.whl")
    assert doctor == "scanside device doctor"
    assert provision == f"scanside device provision --package {folder} {' '.join(words)}"
    assert done.stdout.endswith(f"install '{folder}/bundles/ct.scanside'{ends}\n")


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
        insist_that_it_fits(tmp_path / "pycuda-2026.1-cp310-cp310-linux_x86_64.whl", ORIN, {})
    with pytest.raises(PackageError, match="not a wheel"):
        distribution(tmp_path / "pycuda.whl")


def test_a_wheel_from_elsewhere_must_be_whole_and_the_pinned_one(tmp_path):
    """As `pip wheel` without --no-deps brings a NumPy that TensorRT's bindings do not take."""
    given = tmp_path / "numpy-2.2.6-cp310-cp310-linux_aarch64.whl"
    insist_that_it_fits(given, ORIN, {"numpy": "2.2.6"})
    with pytest.raises(PackageError, match=r"is not version 1\.26\.4"):
        insist_that_it_fits(given, ORIN, {"numpy": "1.26.4"})
    for content in (b"", b"PK\x03\x04 cut short"):
        given.write_bytes(content)
        with pytest.raises(PackageError, match="no whole wheel"):
            needs(given, ORIN, {})
    with zipfile.ZipFile(given, "w"):
        pass
    with pytest.raises(PackageError, match="no whole wheel"):
        needs(given, ORIN, {})


def test_collecting_takes_a_given_wheel_only_where_it_fits(tmp_path):
    from scanside.jetson.package.collect import collect

    own = wheel(tmp_path, "Requires-Dist: pycuda")
    given = tmp_path / "pycuda-2026.1-cp310-cp310-linux_aarch64.whl"
    shutil.copy(wheel(tmp_path, ""), given)
    (tmp_path / "wheels").mkdir()
    have = collect(own, [], tmp_path / "wheels", ORIN, {"pycuda": "2026.1"}, [given])
    assert have["pycuda"].read_bytes() == given.read_bytes()
    with pytest.raises(PackageError, match="which is pinned"):
        collect(own, [], tmp_path / "wheels", ORIN, {"pycuda": "2025.1"}, [given])


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
        (["--jetpack", "6.2", "--unsigned", "--source", "jetson"], "is no checkout"),
    ],
)
def test_what_cannot_be_packed_is_refused(tmp_path, words, said):
    done = pack(tmp_path / "out", *words)
    assert done.returncode == PackageError.exit_code
    assert said in done.stderr
    assert not (tmp_path / "out").exists()


def test_the_same_inputs_give_the_same_bytes(tmp_path):
    """And the package opens, setup.sh's first check passes, and its page holds all it says."""
    pytest.importorskip("torch", reason="needs the extra [workstation]: where packages are made")
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
    # The lists of the device's software name each of its wheels.
    listed = pinned_parts(releases()["6.2"], REPOSITORY / "constraints.txt")
    there = {distribution(path): str(parse_wheel_filename(path.name)[1]) for path in package.wheels}
    assert there == {name: listed[name].version for name in there}
    assert all(ORIN.runs(parse_wheel_filename(path.name)[3]) for path in package.wheels)
    subprocess.run(
        ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=folder, check=True
    )
    page = (folder / "index.html").read_text()
    assert signer in page
    assert f"sudo bash setup.sh --key {signer[:16]}" in page
    assert "For the CPU engine only: pycuda is not in it" in page
    assert "http://" not in page.split("<hr")[0]
    links = re.findall(r'href="([^"]*)"', page)
    assert "#keys.md" in links
    assert not [one for one in links if f'id="{one[1:]}"' not in page]
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


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"trust": ("a", "b", "c")}, "at most 2"),
        ({"bundles": ("one/x.scanside", "two/x.scanside")}, "is taken"),
        ({"bundles": ("one/my model.scanside",)}, "'my model.scanside'"),
    ],
)
def test_what_no_device_would_take_is_not_packed(tmp_path, words, said):
    given = {}
    for what, names in words.items():
        given[what] = [tmp_path / name for name in names]
        for path in given[what]:
            path.parent.mkdir(exist_ok=True)
            if what == "trust":
                new_key(path)
                path.with_suffix(".pub").rename(path)
            else:
                write_test_bundle(path)
    order = Order(source=REPOSITORY, jetpack="6.2", epoch=0, **given)
    with pytest.raises(PackageError, match=said):
        build_package(order, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


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
