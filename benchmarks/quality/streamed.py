"""Cases through a daemon: the pixels that a scanner would get back."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from scanside.benchmarks.served import serving
from scanside.runtime import Client
from scanside.runtime.errors import BenchmarkError
from scanside.runtime.progress import task
from scanside.runtime.wire import Outcome
from scanside.train.metrics.case import Case, Image


def through_daemon(
    bundle: Path, engine: str, threads: int, cases: Sequence[Case], *, shared_memory: bool = True
) -> list[Image]:
    """Every case's degraded image streamed over ipc to a `scanside serve` in a process of its own.

    engine, threads: what the daemon is told to run. Raises BenchmarkError for a frame that did not
    come back enhanced: the figures of the rest would be those of easier images.
    """
    frames = [(case.degraded, case.facts) for case in cases]
    images: list[Image] = []
    options = ("--engine", engine, "--threads", str(threads), "--allow-unsigned")
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(bundle, "--bind", f"ipc://{folder}/drift.sock", *options) as url,
        Client(url, shared_memory=shared_memory) as client,
        task(f"Streaming through the daemon, {engine}", len(frames)) as progress,
    ):
        for result, case in zip(client.stream(frames), cases, strict=True):
            if result.outcome is not Outcome.ENHANCED or result.pixels is None:
                raise BenchmarkError(
                    f"a frame came back {result.outcome.value}: {result.reason}",
                    next_step="scanside serve on the same bundle says why in its log",
                )
            # A copy: what lies in shared memory is the daemon's again.
            images.append(result.pixels.astype(case.degraded.dtype))
            progress.advance()
    return images
