"""A bundle that any engine here serves in no time."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="package")
def near_identity(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("onnx", reason="needs the extra [workstation]")
    from scanside.benchmarks.serving.identity import write_identity

    path = tmp_path_factory.mktemp("latency") / "near-identity.scanside"
    write_identity(path)
    return path
