"""What the daemon costs before the first frame: its start, its idle memory, its installation."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import msgspec

from scanside.benchmarks.served import daemon_of
from scanside.runtime.errors import ScansideError
from scanside.runtime.progress import task

SETTLED_S = 1.0
MEGABYTE = 1e6
NOT_COUNTED = ("pip", "setuptools", "_distutils_hack", "pkg_resources", "distutils-precedence.pth")
"""What a new environment holds before anything is installed."""
NOT_COPIED = (".*", "build", "runs", "*.egg-info")


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """seconds: from the start of the process to its `ready` line, median and all. rss_mb, pss_mb:
    idle, a second later, medians; MB of 1e6 bytes."""

    engine: str
    seconds: float
    all_seconds: list[float]
    rss_mb: float
    pss_mb: float


class Installation(msgspec.Struct, frozen=True, kw_only=True):
    """MB of 1e6 bytes in site-packages, by its top-level names, largest first."""

    total_mb: float
    by_name: dict[str, float]


def starts(bundle: Path, engine: str, times: int) -> Start:
    """Start a daemon of `bundle` so often, the pages of all its files in memory already."""
    found = []
    options = ("--engine", engine, "--threads", "1", "--allow-unsigned")
    with daemon_of(bundle, *options):  # brings the files into the page cache
        pass
    with task(f"Starting the daemon on {engine}", times) as progress:
        for _ in range(times):
            with daemon_of(bundle, *options) as served:
                time.sleep(SETTLED_S)
                rollup = Path(f"/proc/{served.pid}/smaps_rollup").read_text()
                found.append((served.start_s, *memory_of(rollup)))
            progress.advance()
    seconds, rss, pss = zip(*found, strict=True)
    return Start(
        engine=engine,
        seconds=median(seconds),
        all_seconds=list(seconds),
        rss_mb=median(rss),
        pss_mb=median(pss),
    )


def memory_of(rollup: str) -> tuple[float, float]:
    """RSS and PSS in MB of a process, from the text of its /proc/PID/smaps_rollup (in KiB)."""
    kib = {}
    for line in rollup.splitlines()[1:]:
        name, _, rest = line.partition(":")
        kib[name] = int(rest.split()[0])
    return kib["Rss"] * 1024 / MEGABYTE, kib["Pss"] * 1024 / MEGABYTE


def base_install(project: Path) -> Installation:
    """Install the project at `project` without extras into a new environment: the network's work.

    Raises ScansideError when pip fails.
    """
    with tempfile.TemporaryDirectory() as name:
        copy, venv = Path(name) / "project", Path(name) / "venv"
        # setuptools writes beside what it builds, and would take an older build for its own.
        shutil.copytree(project, copy, symlinks=True, ignore=shutil.ignore_patterns(*NOT_COPIED))
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        pip: list[str | Path] = [venv / "bin" / "python", "-m", "pip", "install", "--quiet", copy]
        if subprocess.run([*pip, "-c", copy / "constraints.txt"], check=False).returncode:
            raise ScansideError(
                "the project could not be installed",
                next_step="this needs the package index: run it where pip install works",
            )
        return sizes_in(next(venv.glob("lib/python*/site-packages")))


def sizes_in(packages: Path) -> Installation:
    """What lies in a site-packages folder, bytecode included."""
    found = {}
    for entry in packages.iterdir():
        name = entry.name
        if name.startswith(NOT_COUNTED):
            continue
        files = [entry] if entry.is_file() else [one for one in entry.rglob("*") if one.is_file()]
        found[name] = sum(one.stat().st_size for one in files) / MEGABYTE
    largest = dict(sorted(found.items(), key=lambda item: -item[1]))
    return Installation(total_mb=sum(found.values()), by_name=largest)
