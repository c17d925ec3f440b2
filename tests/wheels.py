"""Wheels that a test looks into: downloaded by it, never kept."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path


def fetch(requirement: str, folder: Path) -> Path | None:
    """The unzipped wheel, or None where it cannot be had."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", "--dest", str(folder), requirement]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        return None
    with zipfile.ZipFile(wheels[0]) as wheel:
        wheel.extractall(folder / "unzipped")
    wheels[0].unlink()
    return folder / "unzipped"
