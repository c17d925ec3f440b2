"""kernels.cu through NVIDIA's own compiler: what ships is what the source says."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from nvrtc_wheel import WHEELS, Nvrtc
from scanside.runtime.engines.tensorrt.kernels import PTX, PTX_OPTIONS, SOURCE
from wheels import fetch

PAIR = {
    SOURCE: "f28a99515b913ba60e2e214d9b5f86f6ea3188147ee2f2055fad40165ddea516",
    PTX: "172c4d2033001510b832c124e97b29f91766ef96733587528b9f6406884c391f",
}
FLOAT = re.compile(r"\b((?:add|sub|mul|fma|mad|div|rcp|sqrt|ex2|cvt)\.[a-z0-9.]+)")


@pytest.fixture(scope="module", params=WHEELS)
def nvrtc(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Nvrtc:
    found = fetch(WHEELS[request.param], tmp_path_factory.mktemp("nvrtc"))
    if found is None:
        pytest.skip(f"{WHEELS[request.param]} cannot be downloaded here")
    return Nvrtc(found)


def test_the_shipped_ptx_is_the_source_compiled(nvrtc: Nvrtc) -> None:
    if nvrtc.version() != (12, 6):
        pytest.skip("kernels.ptx is made by 12.6")
    assert nvrtc.ptx(SOURCE.read_text(), PTX_OPTIONS).rstrip(b"\0") == PTX.read_bytes()


def test_neither_of_the_two_was_changed_without_the_other() -> None:
    """Where NVRTC cannot be downloaded, nothing else would notice. After a change: make kernels.ptx
    anew as the test above does, have that test pass, and write down both."""
    assert {file: hashlib.sha256(file.read_bytes()).hexdigest() for file in PAIR} == PAIR


@pytest.mark.parametrize("architecture", ["75", "87", "110"])
def test_the_kernels_compile_to_machine_code_for_every_module(
    nvrtc: Nvrtc, architecture: str
) -> None:
    if architecture == "110" and nvrtc.version() < (13, 0):
        pytest.skip("Thor is sm_110 from CUDA 13 on")
    _, *others = PTX_OPTIONS
    source = SOURCE.read_text()
    text = nvrtc.ptx(source, (f"--gpu-architecture=compute_{architecture}", *others)).decode()
    assert f".target sm_{architecture}" in text
    code = nvrtc.cubin(source, (f"--gpu-architecture=sm_{architecture}", *others))
    assert code.startswith(b"\x7fELF")


def test_every_operation_on_floats_rounds_once_and_as_numpy_does() -> None:
    text = PTX.read_text()
    used = {one for one in FLOAT.findall(text) if one.endswith("f32")}
    assert {"add.rn.f32", "sub.rn.f32", "mul.rn.f32", "div.rn.f32"} <= used
    for one in used:
        assert ".approx" not in one, one
        assert ".ftz" not in one, one
        assert not one.startswith(("fma", "mad", "rcp", "div.full")), one
        if one.startswith(("add", "sub", "mul", "div")):
            assert ".rn." in one, f"{one}: the driver may fuse what does not say how it rounds"
    assert "cvt.rni.f32.f32" in text, "rounding to even"
    for kernel in ("unit8", "unit16", "apply8", "apply16"):
        assert f".entry {kernel}(" in text


def test_arguments_have_the_size_that_python_packs() -> None:
    for kernel, pointers in (("unit16", 2), ("apply8", 4)):
        text = PTX.read_text().partition(f".entry {kernel}(")[2].partition(")")[0]
        assert text.count(".u64") == pointers
        assert [int(size) for size in re.findall(r"\.b8 \w+\[(\d+)\]", text)] == [60, 32]


def test_the_oldest_driver_of_a_supported_jetpack_takes_the_ptx() -> None:
    """JetPack 6.1's driver is CUDA 12.6's: PTX 8.5 and no later."""
    found = re.search(r"^\.version (\d+)\.(\d+)$", PTX.read_text(), re.MULTILINE)
    assert found is not None
    assert (int(found[1]), int(found[2])) <= (8, 5)
    assert Path(PTX).stat().st_size < 1 << 20
