"""The fingerprint of a device, against a stub CUDA driver and a fake root."""

from __future__ import annotations

import subprocess
import sys

import msgspec
import pytest

from devices import make_libcuda
from scanside.runtime import cuda
from scanside.runtime.errors import EngineUnavailableError, TargetError
from scanside.runtime.fingerprint import (
    Fingerprint,
    insist_on_device,
    l4t_version,
    memory_class,
    module_name,
)
from scanside.runtime.platforms import release_of, targets

ORIN_NX = Fingerprint(
    tensorrt="10.3.0.30", l4t="36.4.3", driver="12.6", gpu="Orin", capability="8.7", memory_gb=16
)
GIB = 1 << 30


def test_the_driver_tells_its_first_gpu(tmp_path):
    found = cuda.first_gpu(str(make_libcuda(tmp_path)))
    assert found == cuda.Gpu("Orin", "8.7", 16_466_034_688, "12.6")


@pytest.mark.parametrize(
    ("changes", "says", "step"),
    [
        ({"count": 0}, "sees no GPU", "on the device"),
        ({"init": 100}, "cuInit with error 100", "on the device"),
        ({"init": 801}, "error 801", "group"),
        ({"init": 34}, "error 34", "stub"),
        ({"init": 7}, "error 7", "dmesg"),
    ],
)
def test_a_driver_without_a_device_says_what_to_do(tmp_path, changes, says, step):
    library = make_libcuda(tmp_path, **changes)
    with pytest.raises(EngineUnavailableError, match=says) as caught:
        cuda.first_gpu(str(library))
    assert step in caught.value.next_step


def test_without_a_driver_it_says_so(tmp_path):
    with pytest.raises(EngineUnavailableError, match="no CUDA driver"):
        cuda.first_gpu(str(tmp_path / "libcuda.so.1"))


def test_a_library_that_is_no_driver_is_refused(tmp_path):
    source, library = tmp_path / "x.c", tmp_path / "libcuda.so.1"
    source.write_text("int cuInit(unsigned flags) { return 0; }")
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source], check=True)
    with pytest.raises(EngineUnavailableError, match="has no cuDeviceGetCount"):
        cuda.first_gpu(str(library))


def test_nothing_of_tensorrt_is_touched_before_the_driver_answered():
    """Where libnvinfer is loaded without a driver, its Runtime may crash the process."""
    script = """
import sys, types
from scanside.runtime.errors import EngineUnavailableError
class Untouchable(types.ModuleType):
    __version__ = "10.3.0"
    def __getattr__(self, name):
        raise SystemExit(f"touched {name}")
sys.modules["tensorrt"] = Untouchable("tensorrt")
from scanside.compile.plan import main
sys.exit(main(["--probe"]))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 6, done.stderr
    assert "no CUDA driver" in done.stdout


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64", "36.4.3"),
        ("# R36 (release), REVISION: 4.0, GCID: 37537400", "36.4.0"),
        ("# R39 (release), REVISION: 2.0\n# KERNEL_VARIANT: oot\n", "39.2.0"),
    ],
)
def test_the_release_is_read_from_the_devices_own_file(tmp_path, text, version):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "nv_tegra_release").write_text(text)
    assert l4t_version(tmp_path) == version


@pytest.mark.parametrize(
    ("answer", "version"),
    [("printf 36.5.0-20260115194252", "36.5.0"), ("exit 1", ""), ("printf nonsense", "")],
)
def test_without_that_file_the_package_is_asked(tmp_path, monkeypatch, answer, version):
    (tmp_path / "dpkg-query").write_text(f"#!/bin/sh\n{answer}\n")
    (tmp_path / "dpkg-query").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert l4t_version(tmp_path) == version


def test_a_machine_without_dpkg_is_no_jetson(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert l4t_version(tmp_path) == ""


def test_the_build_number_comes_from_the_library(tmp_path):
    """Which JetPack's bindings leave out: 10.3.0 may be 10.3.0.26 or 10.3.0.30."""
    parts = zip(("Major", "Minor", "Patch", "Build"), (10, 3, 0, 30), strict=True)
    source = tmp_path / "x.c"
    source.write_text("".join(f"int getInferLib{p}Version() {{ return {n}; }}\n" for p, n in parts))
    library = tmp_path / "libnvinfer.so.10"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source], check=True)
    script = "from scanside.runtime.fingerprint import full_version as f; print(f('10.3.0'))"
    for folder, version in ((tmp_path, "10.3.0.30"), (tmp_path / "none", "10.3.0")):
        done = subprocess.run(
            [sys.executable, "-c", script],
            env={"LD_LIBRARY_PATH": str(folder)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == version


@pytest.mark.parametrize(
    ("size", "gb"),
    [
        (3.4 * GIB, 4),
        (7.4 * GIB, 8),
        (8 * GIB, 8),
        (15.3 * GIB, 16),
        (29.9 * GIB, 32),
        (61.4 * GIB, 64),
        (122.8 * GIB, 128),
        (1, 1),
    ],
)
def test_what_the_firmware_keeps_does_not_change_the_class(size, gb):
    assert memory_class(int(size)) == gb


def test_every_version_of_l4t_belongs_to_one_release():
    assert release_of("36.4.0").jetpack == "6.1"
    assert release_of("36.4.7").jetpack == release_of("36.5.2").jetpack == "6.2"
    assert release_of("39.2.0").jetpack == "7.2"
    assert release_of("36.50.0") is None
    assert release_of("") is None


def test_every_target_accepts_the_device_that_it_names():
    for target in targets().values():
        if target.refused:
            continue
        prefix = target.release.l4t[0]
        device = msgspec.structs.replace(
            ORIN_NX,
            l4t=prefix,
            capability=target.module.compute_capability,
            memory_gb=target.module.memory_gb,
        )
        assert insist_on_device(device, target.name) == target.release


@pytest.mark.parametrize(
    ("change", "target", "says"),
    [
        ({"l4t": ""}, "", "workstation"),
        ({"l4t": "35.6.0"}, "", "JetPack 5 has TensorRT 8.5"),
        ({"l4t": "37.1.0"}, "", "no JetPack known here"),
        ({"l4t": "39.2.0"}, "orin-nx-16gb-jp6.2", r"JetPack 6\.2; this device runs JetPack 7\.2"),
        ({"memory_gb": 8}, "orin-nx-16gb-jp6.2", "16 GB; this device has 8.7 and 8 GB"),
        ({}, "orin-nx-16gb-jp9.9", "not in the table"),
    ],
)
def test_another_device_than_the_target_is_refused_naming_both(change, target, says):
    with pytest.raises(TargetError, match=says):
        insist_on_device(msgspec.structs.replace(ORIN_NX, **change), target)


def test_a_fingerprint_from_elsewhere_is_checked():
    good = msgspec.json.encode(ORIN_NX)
    assert msgspec.json.decode(good, type=Fingerprint) == ORIN_NX
    for bad in (
        good.replace(b"Orin", b"Or\\u001b[31min"),
        good.replace(b"36.4.3", b"../etc"),
        good.replace(b"16", b"0"),
        good.replace(b'"gpu"', b'"cpu"'),
    ):
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(bad, type=Fingerprint)


def test_the_module_is_told_by_its_eeprom(tmp_path):
    (tmp_path / "etc").mkdir()
    told = tmp_path / "etc" / "nv_boot_control.conf"
    assert module_name(tmp_path) == ""
    for text, name in (
        ("TEGRA_CHIPID 0x23\nTNSPEC 3767-300-0005-M.1-1-1-x-\n", "orin-nano-8gb"),
        ("TNSPEC 3767-301-0001-M.1-1-1-x-\n", "orin-nx-8gb"),
        ("TNSPEC 3999-301-0001-M.1-1-1-x-\n", ""),
        ("\0\xff", ""),
    ):
        told.write_text(text)
        assert module_name(tmp_path) == name


def test_modules_of_equal_gpus_and_memory_are_told_apart_where_the_device_tells():
    nx = msgspec.structs.replace(ORIN_NX, memory_gb=8, module="orin-nx-8gb")
    assert insist_on_device(nx, "orin-nx-8gb-jp6.2").jetpack == "6.2"
    with pytest.raises(TargetError, match="this device is orin-nx-8gb"):
        insist_on_device(nx, "orin-nano-8gb-jp6.2")
    silent = msgspec.structs.replace(nx, module="")
    assert insist_on_device(silent, "orin-nano-8gb-jp6.2").jetpack == "6.2"


def test_a_fingerprint_without_a_module_is_written_as_it_was_before():
    assert b"module" not in msgspec.json.encode(ORIN_NX)
