"""The verbs `bench latency`, `bench gaps` and `bench calls`."""

from __future__ import annotations

from pathlib import Path

import click

from scanside.benchmarks.evidence.kept import PATH, history_option
from scanside.benchmarks.latency.grid import IPC, SERVED, SHARED, TRANSPORTS
from scanside.runtime.cli.finite import Finite

COUNT = click.IntRange(min=1)


@click.command()
@click.argument("bundle", type=PATH, metavar="FILE")
@click.option("--run", type=PATH, help="It was compiled from: adds the float networks and the bar.")
@click.option("--engine", "engines", multiple=True, help="[all that are here]")
@click.option(
    "--side", "sides", type=click.IntRange(16, 4096), multiple=True, help="Rows, columns [512]."
)
@click.option("--threads", type=COUNT, multiple=True, help="Of every engine [2].")
@click.option(
    "--transport", "transports", type=click.Choice(TRANSPORTS), multiple=True, help="[all]"
)
@click.option(
    "--batch", "batches", type=COUNT, multiple=True, help="Frames in one network call [1, 4]."
)
@click.option("--streams", type=COUNT, multiple=True, help="Clients at once [1, 2].")
@click.option("--rounds", type=click.IntRange(min=3), help="Of the grid [200; 8 with --short].")
@click.option("--short", is_flag=True, help="In two minutes; no p99.9, wider intervals.")
@click.option("--root", type=PATH, default=Path("/"), hidden=True, help="Of the device's files.")
@history_option
def latency(
    bundle: Path,
    run: Path | None,
    engines: tuple[str, ...],
    sides: tuple[int, ...],
    threads: tuple[int, ...],
    transports: tuple[str, ...],
    batches: tuple[int, ...],
    streams: tuple[int, ...],
    rounds: int | None,
    short: bool,
    root: Path,
    history: Path | None,
) -> None:
    """Latency of the bundle FILE over a grid, every cell in turn in one run.

    p50, p90, p99, p99.9, maximum and jitter of each engine, size, number of threads, transport,
    batch and number of streams; then the networks alone, with --run beside eager PyTorch; cold
    start and memory of a daemon. Every option that sets the grid may be repeated.

    \b
    Example:
      scanside bench latency ct.scanside --run runs/ct
      scanside bench latency ct.scanside --side 512 --side 1024 --transport ipc --transport shm
    """
    import msgspec

    from scanside.benchmarks.evidence.record import HISTORY, append_record, new_record
    from scanside.benchmarks.latency.cells import engines_here
    from scanside.benchmarks.latency.device import DeviceWatch
    from scanside.benchmarks.latency.frames import DATA
    from scanside.benchmarks.latency.grid import Grid
    from scanside.benchmarks.latency.kept import latency_figures
    from scanside.benchmarks.latency.shown import tables
    from scanside.benchmarks.latency.verdicts import network_verdicts
    from scanside.benchmarks.latency.whole import FULL, SHORT, measure
    from scanside.benchmarks.serving.verdicts import lines
    from scanside.benchmarks.tables import show
    from scanside.jetson.machine import Machine
    from scanside.runtime.bundle import Bundle

    opened = Bundle.open(bundle)
    grid = Grid(engines=engines or engines_here())
    for name, wanted in {
        "sides": sides,
        "threads": threads,
        "transports": transports,
        "batches": batches,
        "streams": streams,
    }.items():
        if wanted:
            grid = msgspec.structs.replace(grid, **{name: tuple(dict.fromkeys(wanted))})
    effort = SHORT if short else FULL
    if rounds is not None:
        effort = msgspec.structs.replace(effort, rounds=rounds, network_rounds=rounds)
    watch = DeviceWatch(Machine(root))
    report = measure(bundle, run, grid, effort, watch)
    record = new_record(
        "latency",
        [*latency_figures(report), *watch.figures()],
        bundle=opened,
        data=DATA,
        setting={"effort": "short" if short else "full", "rounds": str(effort.rounds)},
        notes=report.notes,
    )
    record = msgspec.structs.replace(
        record, machine=msgspec.structs.replace(record.machine, power=report.power)
    )
    append_record(history or HISTORY, record)
    show(*tables(report, record))
    for note in record.notes:
        click.echo(f"note: {note}")
    for line in lines(list(network_verdicts(report.networks))):
        click.echo(line)


@click.command()
@click.argument("bundle", type=PATH, metavar="FILE")
@click.option("--engine", help="[the one that auto takes]")
@click.option("--side", type=click.IntRange(16, 4096), default=512, show_default=True)
@click.option("--threads", type=COUNT, default=2, show_default=True)
@click.option(
    "--transport",
    "transports",
    type=click.Choice(SERVED),
    multiple=True,
    help="Beside calls in process; may be repeated [ipc, shm].",
)
@click.option("--rate", type=Finite(min=0.1), default=15.0, show_default=True)
@click.option("--seconds", type=Finite(min=1), help="Of the schedule [600; 24 --short].")
@click.option("--short", is_flag=True, help="In 40 seconds; no bar, since p99.9 needs more.")
@click.option("--plots", type=PATH, default=Path("runs/bench"), show_default=True, help="Folder.")
@click.option("--root", type=PATH, default=Path("/"), hidden=True, help="Of the device's files.")
@history_option
def gaps(
    bundle: Path,
    engine: str | None,
    side: int,
    threads: int,
    transports: tuple[str, ...],
    rate: float,
    seconds: float | None,
    short: bool,
    plots: Path,
    root: Path,
    history: Path | None,
) -> None:
    """The tail at 15 frames a second with idle gaps, through the daemon and in process.

    All on one schedule: bursts of frames at the rate, pauses of up to a second between them. Then
    gap by gap what the next frame costs, and whether an engine that is kept warm meanwhile is
    faster. Draws percentiles against the gap, the distribution, and the course of the run.

    \b
    Example:
      scanside bench gaps ct.scanside
      scanside bench gaps ct.scanside --short --transport ipc
    """
    import msgspec

    from scanside.benchmarks.evidence.record import HISTORY, append_record, new_record
    from scanside.benchmarks.latency.device import DeviceWatch
    from scanside.benchmarks.latency.frames import DATA
    from scanside.benchmarks.latency.gap_pictures import draw_ladder, draw_schedule
    from scanside.benchmarks.latency.gap_report import (
        gap_figures,
        gap_tables,
        gap_verdicts,
        tail_lines,
    )
    from scanside.benchmarks.latency.gaps import FULL, SHORT, measure_gaps
    from scanside.benchmarks.latency.schedule import Schedule
    from scanside.benchmarks.latency.shown import where
    from scanside.benchmarks.serving.verdicts import lines
    from scanside.benchmarks.tables import show
    from scanside.jetson.machine import Machine
    from scanside.runtime.bundle import Bundle
    from scanside.runtime.engines.choose import open_engine
    from scanside.runtime.files import replace_file

    opened = Bundle.open(bundle)
    if engine is None:
        chosen = open_engine(opened, threads=threads)
        engine = chosen.spec.name
        chosen.close()
    effort = SHORT if short else FULL
    if seconds is not None:
        effort = msgspec.structs.replace(effort, seconds=seconds)
    watch = DeviceWatch(Machine(root))
    found = measure_gaps(
        bundle,
        engine=engine,
        side=side,
        threads=threads,
        transports=transports or (IPC, SHARED),
        schedule=Schedule(rate=rate),
        effort=effort,
        watch=watch,
    )
    setting = {
        "effort": "short" if short else "full",
        "engine": engine,
        "side": str(side),
        "threads": str(threads),
        "rate": f"{rate:g}",
        "seconds": f"{effort.seconds:g}",
    }
    record = new_record(
        "gaps",
        [*gap_figures(found), *watch.figures()],
        bundle=opened,
        data=DATA,
        setting=setting,
        notes=found.notes,
    )
    record = msgspec.structs.replace(
        record, machine=msgspec.structs.replace(record.machine, power=watch.words())
    )
    append_record(history or HISTORY, record)
    show(*gap_tables(found, record))
    title = f"{rate:g} frames a second of {side} x {side}, {engine}, {threads} threads\n"
    title += where(record).partition("\n")[0]
    plots.mkdir(parents=True, exist_ok=True)
    for name, figure in {
        "gaps-schedule.png": draw_schedule(found, title),
        "gaps-ladder.png": draw_ladder(found, title),
    }.items():
        with replace_file(plots / name) as stream:
            figure.savefig(stream, format="png")
        click.echo(f"drawn: {plots / name}")
    for line in (*record.notes, *tail_lines(found)):
        click.echo(line)
    for line in lines(list(gap_verdicts(found, short=short))):
        click.echo(line)


@click.command()
@click.argument("bundle", type=PATH, metavar="[FILE]", required=False)
@click.option("--engine", default="onnxruntime", show_default=True)
@click.option("--short", is_flag=True, help="The same: it takes seconds.")
@history_option
def calls(bundle: Path | None, engine: str, short: bool, history: Path | None) -> None:
    """Python calls that the daemon makes for one frame, over each transport: free of noise.

    Of a near-identity model, or of the bundle FILE; map, guard and engine included. A test holds
    the near-identity model's to the figure that it had.

    \b
    Example:
      scanside bench calls
    """
    import tempfile

    from scanside.benchmarks.evidence.record import HISTORY, append_record, new_record
    from scanside.benchmarks.latency.calls import SIDE, call_figures, count_calls
    from scanside.benchmarks.latency.frames import DATA
    from scanside.benchmarks.latency.shown import where
    from scanside.benchmarks.serving.identity import write_identity
    from scanside.benchmarks.tables import show, table
    from scanside.runtime.bundle import Bundle

    with tempfile.TemporaryDirectory() as folder:
        path = bundle or Path(folder) / "near-identity.scanside"
        opened = write_identity(path) if bundle is None else Bundle.open(path)
        found = count_calls(path, engine)
    record = new_record(
        "calls",
        call_figures(found, engine),
        bundle=opened,
        data=DATA,
        setting={"engine": engine, "side": str(SIDE)},
    )
    append_record(history or HISTORY, record)
    packages = list(dict.fromkeys(name for one in found for name in one.parts))
    show(
        table(
            f"Python calls for a frame of {SIDE} x {SIDE}: {where(record)}",
            ("of", *(one.transport for one in found)),
            [
                ("all", *(str(one.calls) for one in found)),
                *((name, *(str(one.parts.get(name, 0)) for one in found)) for name in packages),
            ],
        )
    )
