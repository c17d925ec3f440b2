"""The C client, compiled with every warning and sanitizer."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from conftest import REPOSITORY

from daemons import SOON_S
from scanside.runtime import FrameFacts
from scanside.runtime.frame import Pixels

SOURCES = REPOSITORY / "clients" / "c"
STRICT = ["-std=c11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-pedantic", "-Wconversion"]
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
ANSWERED, FILES, USAGE, LOST = 0, 1, 2, 7
CT = FrameFacts(modality="CT", bits_stored=16, signed=True, intercept=-1024.0)


def compiled(source: Path, out: Path, *options: str) -> Path:
    if shutil.which("gcc") is None:
        pytest.skip("no gcc here")
    done = subprocess.run(
        ["gcc", *STRICT, *SANITIZERS, f"-I{SOURCES}", str(source), "-o", str(out), *options],
        capture_output=True,
        text=True,
        timeout=SOON_S * 6,
    )
    if "sanitizers" in done.stderr or "cannot find -lasan" in done.stderr:
        pytest.skip("this gcc has no sanitizers")
    assert done.returncode == 0, done.stderr
    return out


class Sent:
    """One run of the program: its exit code, a line for each frame, and the pixels it wrote."""

    def __init__(self, process: subprocess.Popen[str], out: Path) -> None:
        text, self.errors = process.communicate(timeout=SOON_S * 3)
        self.code = process.returncode
        assert "Sanitizer" not in self.errors
        assert "runtime error" not in self.errors
        assert self.code in (ANSWERED, FILES, USAGE, LOST), (self.code, self.errors)
        self.lines = text.splitlines()
        self.words = [line.split(" ")[1] for line in self.lines]
        self.reasons = [" ".join(line.split(" ")[2:-2]) for line in self.lines]
        self.pixels = out.read_bytes() if out.exists() else b""


def pattern(seq: int) -> Pixels:
    return ((np.arange(16 * 24) * 7 + seq * 131) & 0xFFF).astype(np.uint16).reshape(16, 24)


def joined(frames: list[Pixels]) -> bytes:
    return b"".join(one.tobytes() for one in frames)
