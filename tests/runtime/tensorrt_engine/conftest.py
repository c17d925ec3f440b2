"""The kernels compiled for the CPU, once for all tests here."""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest

from cuda_on_cpu import build, load
from thin_device import ThinDevice


@pytest.fixture(scope="session")
def kernels_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("kernels"))


@pytest.fixture(scope="session")
def kernels(kernels_library: Path) -> ctypes.CDLL:
    return load(kernels_library)


@pytest.fixture
def device(tmp_path: Path, kernels_library: Path, monkeypatch: pytest.MonkeyPatch) -> ThinDevice:
    return ThinDevice(tmp_path / "device", kernels_library, monkeypatch)
