"""A machine with a GPU, as far as the TensorRT engine can see: thin doubles in this process and in
its children, over the stub CUDA driver of `devices`."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import thin_tensorrt
from cuda_on_cpu import load
from devices import make_libcuda
from scanside.runtime.bundle import MODEL, Bundle
from scanside.runtime.fingerprint import Fingerprint
from scanside.runtime.plans import Evidence, label_of, plan_key, settings_of
from thin_pycuda import ThinCuda

TESTS = Path(__file__).parent
ORIN = Fingerprint(
    tensorrt=thin_tensorrt.VERSION, l4t="36.4.3", driver="12.6", gpu="Orin", capability="8.7",
    memory_gb=16,
)  # fmt: skip
"""What the stub driver and the doubles make of this machine."""


class ThinDevice:
    """cuda: this process's double. plans: an empty folder for plans."""

    def __init__(self, folder: Path, kernels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self.plans = folder / "plans"
        packages = folder / "python"
        (packages / "pycuda").mkdir(parents=True)
        self.plans.mkdir()
        paths = f"import sys; sys.path.insert(0, {str(TESTS)!r})\n"
        (packages / "tensorrt.py").write_text(
            f"{paths}from thin_tensorrt import *\n"
            "from thin_tensorrt import VERSION as __version__\n"
        )
        (packages / "pycuda" / "__init__.py").touch()
        (packages / "pycuda" / "driver.py").write_text(
            f"{paths}import ctypes; from thin_pycuda import ThinCuda\n"
            f"sys.modules[__name__] = ThinCuda(ctypes.CDLL({str(kernels)!r}))\n"
        )
        make_libcuda(folder / "lib")
        bin_ = folder / "bin"
        bin_.mkdir()
        (bin_ / "dpkg-query").write_text(f"#!/bin/sh\nprintf {ORIN.l4t}-20250107174145\n")
        (bin_ / "dpkg-query").chmod(0o755)
        monkeypatch.setenv("PATH", f"{bin_}:{os.environ['PATH']}")
        monkeypatch.setenv("PYTHONPATH", str(packages))
        monkeypatch.setenv("LD_LIBRARY_PATH", str(folder / "lib"))
        self.cuda = ThinCuda(load(kernels))
        self.packages = packages
        monkeypatch.setitem(sys.modules, "tensorrt", thin_tensorrt.as_module())
        package = ModuleType("pycuda")
        package.driver = self.cuda  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "pycuda", package)
        monkeypatch.setitem(sys.modules, "pycuda.driver", self.cuda)
        monkeypatch.setitem(sys.modules, "cuda.bindings.driver", None)
        thin_tensorrt.runs.clear()

    def child_behaves(self, **told: Any) -> None:
        self._monkeypatch.setenv("THIN_TENSORRT", json.dumps(told))

    def behaves(self, **told: Any) -> None:
        """TensorRT in this process, from now on."""
        for name, value in told.items():
            self._monkeypatch.setitem(thin_tensorrt.told, name, value)

    def keep(self, bundle: Bundle, plan: bytes, device: Fingerprint = ORIN) -> Evidence:
        """Put a plan with its evidence where a build would have put it."""
        evidence = evidence_of(bundle, plan, device)
        path = self.plans / f"{evidence.key}.plan"
        path.write_bytes(plan)
        path.with_suffix(".json").write_bytes(evidence.encode())
        return evidence


def evidence_of(bundle: Bundle, plan: bytes, device: Fingerprint = ORIN) -> Evidence:
    settings, onnx = settings_of(bundle.manifest), bundle.manifest.members[MODEL].sha256
    return Evidence(
        key=plan_key(onnx, device, settings),
        sha256=hashlib.sha256(plan).hexdigest(),
        size=len(plan),
        source=MODEL,
        onnx=onnx,
        fingerprint=device,
        settings=settings,
        label=label_of(device),
        layers=2,
        int8=1,
        seconds=1.0,
        scanside="0",
    )
