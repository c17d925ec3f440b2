"""The verb `bench scale`."""

from __future__ import annotations

from pathlib import Path

import click

from scanside.benchmarks.evidence.kept import PATH, history_option
from scanside.runtime.cli.finite import Finite

TRANSPORTS = ("shm", "ipc", "tcp")


@click.command()
@click.argument("bundle", type=PATH, metavar="[FILE]", required=False)
@click.option("--short", is_flag=True, help="In a minute: one size, up to 8 clients.")
@click.option(
    "--transport",
    "transports",
    type=click.Choice(TRANSPORTS),
    multiple=True,
    help="May be repeated [all; where cores are varied, the first].",
)
@click.option(
    "--side",
    "sides",
    type=click.IntRange(16, 4096),
    multiple=True,
    help="Rows and columns; may be repeated [256, 512, 1024, 2048].",
)
@click.option(
    "--cores",
    type=click.IntRange(min=1),
    multiple=True,
    help="Of the daemon, and threads of its engine; may be repeated [1 to all].",
)
@click.option(
    "--clients",
    type=click.IntRange(1, 64),
    multiple=True,
    help="At once; may be repeated [1, 2, 4, 8, 16].",
)
@click.option(
    "--window",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    help="Frames that each client has on their way; 0 for all that the daemon takes.",
)
@click.option("--engine", default="onnxruntime", show_default=True)
@click.option("--rounds", type=click.IntRange(2, 60), help="Of all [12; 5 with --short].")
@click.option("--seconds", type=Finite(0.05, 60), help="Of each in a round [0.4; 0.3].")
@click.option("--plot", type=PATH, help="PNG, SVG or HTML [scale-MODEL.png by the history].")
@history_option
def scale(
    bundle: Path | None,
    short: bool,
    transports: tuple[str, ...],
    sides: tuple[int, ...],
    cores: tuple[int, ...],
    clients: tuple[int, ...],
    window: int,
    engine: str,
    rounds: int | None,
    seconds: float | None,
    plot: Path | None,
    history: Path | None,
) -> None:
    """Frames a second of the daemon against clients, frame size and cores, and where it ends.

    For a near-identity model, where the daemon itself is the limit, or for the bundle FILE. The
    daemon is kept to its cores and the clients to the others, or to the same where none is left.

    \b
    Example:
      scanside bench scale --short
      scanside bench scale ct.scanside --side 512 --cores 1 --cores 2
    """
    from scanside.benchmarks.evidence.pictures import check_format, write_picture
    from scanside.benchmarks.evidence.record import HISTORY, append_record, new_record
    from scanside.benchmarks.scale.cells import plan_of
    from scanside.benchmarks.scale.measure import measure_scale
    from scanside.benchmarks.scale.plot import draw
    from scanside.benchmarks.scale.records import placing_lines, saturation_lines, scale_figures
    from scanside.benchmarks.scale.tables import scale_tables
    from scanside.benchmarks.serving.kept import DATA
    from scanside.benchmarks.tables import show
    from scanside.runtime.bundle import Bundle

    if plot is not None:
        check_format(plot)
    plan = plan_of(
        short=short,
        transports=transports,
        sides=sides,
        cores=cores,
        clients=clients,
        rounds=rounds,
        seconds=seconds,
    )
    measured = measure_scale(bundle, plan, engine=engine, window=window)
    figures = scale_figures(measured)
    found, placings = saturation_lines(measured), placing_lines(measured)
    record = new_record(
        "scale",
        figures,
        bundle=Bundle.open(bundle) if bundle is not None else None,
        data=f"{DATA}, in uint16",
        setting={
            "effort": "short" if short else "full",
            "model": measured.model,
            "engine": engine,
            "window": str(window) if window else "the daemon's credit",
            "cores": "; ".join(placings),
            "rounds": f"{plan.rounds} of {plan.seconds:g} s",
        },
        notes=[*found, *measured.notes],
    )
    show(*scale_tables(record))
    for line in [*placings, *found, *measured.notes]:
        click.echo(line)
    history = history or HISTORY
    append_record(history, record)
    plot = plot or history.parent / f"scale-{measured.model}.png"
    write_picture(plot, draw(figures), f"{measured.model}: frames a second and p99")
    click.echo(f"plot: {plot}")
