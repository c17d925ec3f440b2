"""The C client as a program, and a run of it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compiled_client import SOURCES, Sent, compiled
from scanside.runtime.frame import Pixels


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("pkg-config") is None:
        pytest.skip("no pkg-config here")
    flags = subprocess.run(
        ["pkg-config", "--cflags", "--libs", "libzmq"], capture_output=True, text=True
    )
    if flags.returncode != 0:
        pytest.skip("no headers of libzmq here: install libzmq3-dev")
    out = tmp_path_factory.mktemp("c") / "scanside_send"
    return compiled(SOURCES / "scanside_send.c", out, *flags.stdout.split())


@pytest.fixture
def start(program: Path, tmp_path: Path) -> Iterator[Any]:
    """Start the program on these frames of one type and shape, or on its own pattern."""
    started: list[subprocess.Popen[str]] = []

    def run(url: str, frames: list[Pixels] | int, *options: str) -> Any:
        out = tmp_path / f"out{len(started)}.raw"
        if isinstance(frames, int):
            source, like, count = "pattern", np.zeros((16, 24), np.uint16), frames
        else:
            source, like, count = str(tmp_path / f"in{len(started)}.raw"), frames[0], len(frames)
            Path(source).write_bytes(
                b"".join(one.astype("<" + one.dtype.str[1:]) for one in frames)
            )
        shape = [str(side) for side in like.shape]
        arguments = [url, like.dtype.name, *shape, str(count), source, str(out)]
        process = subprocess.Popen(
            [str(program), *options, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return lambda: Sent(process, out)

    yield run
    for process in started:
        process.kill()
        process.communicate()
