"""Fetching the device's wheels: Scanside's own is built, the others are downloaded by pip.

Both are processes of the Python that runs this. The network is used here and never on a device.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from scanside.jetson.package.wheels import (
    ALWAYS,
    COMPILED,
    OPTIONAL,
    Target,
    distribution,
    insist_that_it_fits,
    needs,
)
from scanside.runtime.errors import PackageError

_ROOMS = ("benchmarks", "compile", "jetson", "runtime", "train")
_PARTS = ("pyproject.toml", "README.md", "LICENSE")
_PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
_PIP_S = 1800.0


def build_own(source: Path, folder: Path, epoch: int) -> Path:
    """Build Scanside's wheel from a checkout into `folder`: the same bytes from the same files,
    with `epoch` (s since 1970) as every file's time."""
    with tempfile.TemporaryDirectory() as scratch:
        # A copy, for a build leaves files in its tree that the next one would pick up, and a
        # checkout's file modes depend on who made it.
        copy = Path(scratch)
        for name in _PARTS:
            shutil.copyfile(source / name, copy / name)
        for name in _ROOMS:
            shutil.copytree(
                source / name,
                copy / name,
                ignore=shutil.ignore_patterns("__pycache__", "*.pyc"),
                copy_function=shutil.copyfile,
            )
        for path in copy.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)
        made = copy / "made"
        environment = {"SOURCE_DATE_EPOCH": str(epoch)}
        _pip(["wheel", "--no-deps", "--wheel-dir", str(made), str(copy)], environment)
        [wheel] = made.glob("*.whl")
        return Path(shutil.copyfile(wheel, folder / wheel.name))


def collect(
    own: Path,
    roots: Sequence[str],
    folder: Path,
    target: Target,
    pinned: Mapping[str, str],
    extra: Iterable[Path] = (),
) -> dict[str, Path]:
    """Bring together, in `folder`, everything that the wheel `own` and the distributions `roots`
    need on the device, down to the last; wheels by canonical name.

    extra: wheels that were compiled elsewhere: these are taken instead of a download.

    Raises PackageError where one is pinned nowhere, cannot be had, or goes with none of the others.
    """
    given = {}
    for wheel in extra:
        insist_that_it_fits(wheel, target, pinned)
        given[distribution(wheel)] = wheel
    have = {distribution(own): own}
    todo = {*needs(own, target, pinned), *roots, *given}
    while todo:
        for name in sorted(todo & set(given)):
            have[name] = Path(shutil.copyfile(given[name], folder / given[name].name))
        wanted = sorted(todo - set(given))
        if wanted:
            have.update(_download(wanted, folder, target, pinned))
        todo = {one for name in todo for one in needs(have[name], target, pinned)} - set(have)
    return have


def engines(have: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(engines that these distributions make possible, distributions that are missing for more).

    TensorRT itself comes from JetPack.
    """
    names = set(have)
    found = [] if set(COMPILED) - names else ["tensorrt"]
    found += ["onnxruntime"] if "onnxruntime" in names else []
    return tuple(found), tuple(sorted(set(COMPILED) - names))


def roots_of(extra: Iterable[Path]) -> list[str]:
    """What a device gets beside Scanside's own requirements: CUDA graphs only where something can
    use them."""
    compiled = set(COMPILED) <= {distribution(wheel) for wheel in extra}
    return [*ALWAYS, *(OPTIONAL if compiled else ())]


def _download(
    names: Sequence[str], folder: Path, target: Target, pinned: Mapping[str, str]
) -> dict[str, Path]:
    for name in names:
        if name in COMPILED:
            raise PackageError(
                f"{name} has no wheel for aarch64",
                next_step=f"on a device with this JetPack: pip wheel --no-deps "
                f"{name}=={pinned[name]}; name its folder with EXTRA_WHEELS=",
            )
    command = ["download", "--no-deps", "--only-binary=:all:", "--dest", str(folder)]
    command += ["--implementation", "cp", "--python-version", target.python]
    command += [word for abi in target.abis for word in ("--abi", abi)]
    command += [word for platform in target.platforms for word in ("--platform", platform)]
    _pip([*command, *(f"{name}=={pinned[name]}" for name in names)])
    got = {distribution(wheel): wheel for wheel in sorted(folder.glob("*.whl"))}
    return {name: got[name] for name in names}


def _pip(words: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
    try:
        done = subprocess.run(
            [*_PIP, *words],
            capture_output=True,
            text=True,
            timeout=_PIP_S,
            env={**os.environ, **(environment or {})},
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise PackageError("pip took longer than half an hour") from error
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise PackageError(
            f"pip could not do it: {' '.join(lines[:2]) or 'no reason given'}",
            next_step="this machine needs the network; the versions are in constraints.txt",
        )
