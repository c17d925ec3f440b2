"""All of it in one run: the figures, each beside its bar."""

from __future__ import annotations

import os
import platform
import tempfile
from datetime import date
from importlib.metadata import version
from pathlib import Path

import msgspec

from scanside.benchmarks.served import serving
from scanside.benchmarks.serving.footprint import Installation, Start, base_install, starts
from scanside.benchmarks.serving.identity import write_identity
from scanside.benchmarks.serving.load import Deafness, Throughput, deafness, throughput
from scanside.benchmarks.serving.roundtrip import RoundTrips, contenders, measure
from scanside.runtime.allocator import keep_freed_memory
from scanside.runtime.bundle import Bundle
from scanside.runtime.engines.choose import open_engine
from scanside.runtime.engines.cpu import device_name

SIDES = (512, 1024)
ENGINE = "onnxruntime"
LIBRARIES = ("scanside", "onnxruntime", "openvino", "pyzmq", "msgspec", "numpy")
NEAR_IDENTITY = "near-identity"


class Effort(msgspec.Struct, frozen=True, kw_only=True):
    """How long each part takes. rounds: of round trips, at 512 x 512, of the near-identity model;
    larger frames and other models get fewer."""

    rounds: int
    model_rounds: int
    load_rounds: int
    load_seconds: float
    starts: int


SHORT = Effort(rounds=30, model_rounds=6, load_rounds=5, load_seconds=1.0, starts=3)
FULL = Effort(rounds=200, model_rounds=20, load_rounds=15, load_seconds=2.0, starts=7)


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """Where and with what it was measured."""

    machine: str
    system: str
    cores: tuple[int, ...]
    threads: int
    engine: str
    date: str
    python: str
    versions: dict[str, str]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was measured; None for what was not asked for."""

    setting: Setting
    trips: list[RoundTrips]
    throughput: Throughput
    deafness: Deafness
    starts: list[Start]
    installation: Installation | None


def pin(count: int) -> tuple[int, ...]:
    """Keep this process, and all that it starts, to the first `count` of its cores."""
    cores = tuple(sorted(os.sched_getaffinity(0))[:count])
    os.sched_setaffinity(0, cores)
    return cores


def measure_serving(
    bundle: Path | None, effort: Effort, *, cores: int = 2, project: Path | None = None
) -> Report:
    """bundle: a real one, measured beside the near-identity model. project: is installed into a new
    environment to see its size. Every process is kept to the same cores, engines to one thread."""
    pinned = pin(cores)
    keep_freed_memory()  # as `scanside serve` does: the floor gets no worse an allocator
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        near = folder / f"{NEAR_IDENTITY}.scanside"
        write_identity(near)
        trips = _round_trips(near, NEAR_IDENTITY, effort.rounds, folder)
        if bundle is not None:
            trips += _round_trips(bundle, bundle.stem, effort.model_rounds, folder)
        options = ("--engine", ENGINE, "--threads", "1", "--allow-unsigned")
        engine = open_engine(Bundle.open(near), ENGINE, 1)
        with serving(near, "--bind", f"ipc://{folder}/load.sock", *options) as url:
            flow = throughput(engine, url, 1024, effort.load_rounds, effort.load_seconds)
            engine.close()
            deaf = deafness(url, 512, effort.load_rounds, effort.load_seconds)
        started = [starts(bundle or near, ENGINE, effort.starts)]
    return Report(
        setting=_setting(pinned),
        trips=trips,
        throughput=flow,
        deafness=deaf,
        starts=started,
        installation=base_install(project) if project is not None else None,
    )


def _round_trips(bundle: Path, name: str, rounds: int, folder: Path) -> list[RoundTrips]:
    with contenders(bundle, ENGINE, folder) as calls:
        return [measure(calls, name, side, max(4, rounds * SIDES[0] // side)) for side in SIDES]


def _setting(cores: tuple[int, ...]) -> Setting:
    return Setting(
        machine=device_name(),
        system=platform.platform(),
        cores=cores,
        threads=1,
        engine=f"{ENGINE} {version(ENGINE)}",
        date=date.today().isoformat(),
        python=platform.python_version(),
        versions={name: version(name) for name in LIBRARIES},
    )
