"""The fingerprint of a device: everything that a TensorRT plan depends on beside the network.

A plan runs only on the TensorRT that built it and is not portable from GPU to GPU; the byte-equal
network builds on one module and fails on another under one TensorRT (NVIDIA/TensorRT#4832). So the
whole fingerprint is in a plan's key, and no plan of another device can be taken by mistake.
"""

from __future__ import annotations

import ctypes
import re
import subprocess
from pathlib import Path
from typing import Annotated

import msgspec

from scanside.runtime.cuda import first_gpu
from scanside.runtime.errors import TargetError
from scanside.runtime.platforms import (
    Release,
    Target,
    board_of,
    module_of_board,
    release_of,
    targets,
)

ROOT = Path("/")
GIBIBYTE = 1 << 30
_RELEASE = re.compile(r"# R(\d+) \(release\), REVISION: (\d+(?:\.\d+)*)")
_PACKAGE = re.compile(r"(\d+(?:\.\d+)+)-")
_TNSPEC = re.compile(r"^TNSPEC\s+(\S+)", re.MULTILINE)
_PARTS = ("Major", "Minor", "Patch", "Build")

Word = Annotated[str, msgspec.Meta(max_length=256, pattern=r"^[^\x00-\x1f\x7f-\x9f]*\Z")]
Dotted = Annotated[str, msgspec.Meta(max_length=32, pattern=r"^[0-9]+(\.[0-9A-Za-z]+)*\Z")]
DottedOrNone = Annotated[str, msgspec.Meta(max_length=32, pattern=r"^([0-9]+(\.[0-9A-Za-z]+)*)?\Z")]


class Fingerprint(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """tensorrt: with its build number where the library tells it, as 10.3.0.30. l4t: as 36.4.3, or
    empty where this is no Jetson. driver: the newest CUDA that it serves. capability: compute
    capability. memory_gb: the class, a power of two: 7.4 GiB that are left of 8 GB are 8. module:
    its name in the table of platforms, or empty where the device does not tell: all Orins call
    their GPU the same, and an Orin Nano 8 GB has half the GPU of an Orin NX 8 GB."""

    tensorrt: Dotted
    l4t: DottedOrNone
    driver: Dotted
    gpu: Word
    capability: Dotted
    memory_gb: Annotated[int, msgspec.Meta(ge=1, le=1 << 16)]
    module: Word = ""

    @property
    def local(self) -> bool:
        """Of a workstation: its plans are for trying out, on this machine."""
        return not self.l4t

    @property
    def described(self) -> str:
        system = f"L4T {self.l4t}" if self.l4t else "no Jetson"
        module = f"{self.module}: " if self.module else ""
        return (
            f"{module}{self.gpu}, {self.memory_gb} GB, compute capability {self.capability}, "
            f"{system}, TensorRT {self.tensorrt}, CUDA {self.driver}"
        )


def fingerprint(tensorrt_version: str, root: Path = ROOT) -> Fingerprint:
    """Of this machine. tensorrt_version: what the bindings call themselves.

    Raises EngineUnavailableError where there is no CUDA driver or no GPU.
    """
    gpu = first_gpu()
    return Fingerprint(
        tensorrt=full_version(tensorrt_version),
        l4t=l4t_version(root),
        driver=gpu.driver,
        gpu=gpu.name,
        capability=gpu.capability,
        memory_gb=memory_class(gpu.memory_bytes),
        module=module_name(root),
    )


def full_version(bindings: str) -> str:
    """TensorRT's version with its build, which JetPack's bindings leave out: asked of libnvinfer,
    and the bindings' own where that does not tell."""
    try:
        library = ctypes.CDLL(f"libnvinfer.so.{bindings.partition('.')[0]}")
        parts = [int(getattr(library, f"getInferLib{part}Version")()) for part in _PARTS]
    except (OSError, AttributeError):
        return bindings
    return ".".join(map(str, parts))


def l4t_version(root: Path = ROOT) -> str:
    """As 36.4.3; empty where this is no Jetson."""
    try:
        text = (root / "etc" / "nv_tegra_release").read_text(errors="replace")
    except OSError:
        text = ""
    if found := l4t_of_file(text):
        return found
    command = ["dpkg-query", "--show", "--showformat", "${Version}", "nvidia-l4t-core"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return l4t_of_package(done.stdout) if done.returncode == 0 else ""


def l4t_of_file(text: str) -> str:
    """L4T by /etc/nv_tegra_release (# R36 (release), REVISION: 4.3, ...), or empty."""
    found = _RELEASE.search(text)
    return f"{found[1]}.{found[2]}" if found else ""


def l4t_of_package(version: str) -> str:
    """L4T by the version of nvidia-l4t-core (36.4.3-20250107174145), or empty."""
    found = _PACKAGE.match(version)
    return found[1] if found else ""


def module_name(root: Path = ROOT) -> str:
    """The module by its EEPROM, as the boot control tells it; empty where it does not, or where the
    table of platforms has no such board."""
    try:
        text = (root / "etc" / "nv_boot_control.conf").read_text(errors="replace")
    except OSError:
        return ""
    board = board_of(tnspec_of(text) or "")
    module = module_of_board(board) if board else None
    return module.name if module else ""


def tnspec_of(text: str) -> str | None:
    """The TNSPEC of /etc/nv_boot_control.conf: board, version, SKU and configuration."""
    found = _TNSPEC.search(text)
    return found[1] if found else None


def memory_class(size: int) -> int:
    """The next power of two of GB that holds `size` bytes; every module's memory is one."""
    return 1 << max(0, (-(-size // GIBIBYTE) - 1).bit_length())


def insist_on_device(found: Fingerprint, target: str = "") -> Release:
    """The release that a device runs. target: a manifest's, or empty for any.

    Raises TargetError where this is no Jetson of a supported release, and where it is not the
    target: naming both.
    """
    if found.local:
        raise TargetError(
            f"a plan of a workstation's GPU ({found.gpu}) is local: no device can run it",
            next_step="build it on a Jetson: scanside plan FILE --builder ssh://user@jetson",
        )
    release = release_of(found.l4t)
    if release is None or release.refused:
        why = release.refused if release else "it belongs to no JetPack known here"
        raise TargetError(f"L4T {found.l4t} is not supported: {why}")
    wanted = targets().get(target) if target else None
    if target and wanted is None:
        raise TargetError(
            f"the bundle is for {target}, which is not in the table of platforms",
            next_step="compile it again for one of `scanside targets`",
        )
    if wanted is not None:
        _compare(found, release, wanted)
    return release


def _compare(found: Fingerprint, release: Release, wanted: Target) -> None:
    if release != wanted.release:
        raise TargetError(
            f"the bundle is for {wanted.name}, JetPack {wanted.release.jetpack}; this device runs "
            f"JetPack {release.jetpack} (L4T {found.l4t})",
            next_step="take a device with that JetPack, or compile for this one with --target",
        )
    module = wanted.module
    if found.module and found.module != module.name:
        raise TargetError(
            f"the bundle is for {wanted.name}; this device is {found.module}",
            next_step="take a device of that module, or compile for this one with --target",
        )
    if (found.capability, found.memory_gb) != (module.compute_capability, module.memory_gb):
        raise TargetError(
            f"the bundle is for {wanted.name}: compute capability {module.compute_capability}, "
            f"{module.memory_gb} GB; this device has {found.capability} and {found.memory_gb} GB",
            next_step="take a device of that module, or compile for this one with --target",
        )
