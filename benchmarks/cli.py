"""The verbs `bench` and `demo`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from scanside.benchmarks.serving.cli import serving
from scanside.benchmarks.training.cli import pruning, sensitivity, training

Verb = TypeVar("Verb", bound=Callable[..., None])


def _judged_on(verb: Verb) -> Verb:
    """The options that say which images a model is judged on, and how they are degraded."""
    for option in (
        click.option(
            "--images", type=click.IntRange(min=0), default=0, help="At most so many [all]."
        ),
        click.option(
            "--data",
            type=click.Path(path_type=Path),
            multiple=True,
            help="Clean images to judge on [the held-out real series in SCANSIDE_DATA].",
        ),
        click.option(
            "--level",
            "levels",
            type=float,
            multiple=True,
            help="Of the degradation, in its unit; may be repeated [the recipe's held-out levels].",
        ),
    ):
        verb = option(verb)
    return verb


@click.group()
def bench() -> None:
    """Measure on this machine.

    \b
    Example:
      scanside bench latency ct.scanside
    """


for verb in (pruning, sensitivity, serving, training):
    bench.add_command(verb)


@bench.command()
@click.argument("bundle", type=click.Path(path_type=Path), metavar="FILE")
@click.option(
    "--run",
    type=click.Path(path_type=Path),
    help="The run it was compiled from: adds the float networks.",
)
@click.option(
    "--side",
    type=click.IntRange(16, 4096),
    default=512,
    show_default=True,
    help="Rows and columns.",
)
@click.option("--threads", type=click.IntRange(min=1), help="Threads of every engine [all cores].")
@click.option("--rounds", type=click.IntRange(min=3), default=50, show_default=True)
def latency(bundle: Path, run: Path | None, side: int, threads: int | None, rounds: int) -> None:
    """Latency of every engine for the bundle FILE, interleaved in one run.

    \b
    Example:
      scanside bench latency ct.scanside --run runs/ct --threads 2
    """
    from scanside.benchmarks.latency import measure_latency
    from scanside.benchmarks.tables import latency_table, show
    from scanside.runtime.bundle import Bundle
    from scanside.runtime.engines.cpu import device_name, usable_threads
    from scanside.train.run import Run

    used = threads or usable_threads()
    figures = measure_latency(
        Bundle.open(bundle), Run(run) if run else None, side=side, threads=used, rounds=rounds
    )
    show(latency_table(figures, f"{side} x {side}, {used} threads each, {device_name()}"))


@bench.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--bundle", type=click.Path(path_type=Path), help="Takes its INT8 as it is served.")
@_judged_on
@click.option(
    "--draws", type=click.IntRange(min=0), default=50, show_default=True, help="For the discs; CT."
)
@click.option("--out", type=click.Path(path_type=Path), help="JSON [RUN/quality.json].")
def quality(
    run: Path,
    bundle: Path | None,
    levels: tuple[float, ...],
    data: tuple[Path, ...],
    images: int,
    draws: int,
    out: Path | None,
) -> None:
    """Every stage of RUN beside classical methods at their best strength, and what PSNR hides.

    \b
    Example:
      scanside bench quality runs/ct --bundle ct.scanside --level 20 --level 40 --level 80
    """
    from scanside.benchmarks.quality.report import compare, tables, write_report
    from scanside.benchmarks.tables import show
    from scanside.train.run import Run

    trained = Run(run)
    wanted = levels or trained.config().recipe.heldout_levels
    report = compare(trained, bundle, wanted, data, images, draws)
    write_report(out or run / "quality.json", report)
    show(*tables(report))


@bench.command()
@click.argument("bundle", type=click.Path(path_type=Path), metavar="FILE")
@click.option(
    "--run",
    type=click.Path(path_type=Path),
    required=True,
    help="The run it was compiled from: its float control.",
)
@_judged_on
@click.option("--out", type=click.Path(path_type=Path), help="JSON as well.")
def drift(
    bundle: Path,
    run: Path,
    levels: tuple[float, ...],
    data: tuple[Path, ...],
    images: int,
    out: Path | None,
) -> None:
    """What INT8 lost against its float control on real images: every file of the bundle FILE.

    \b
    Example:
      scanside bench drift ct.scanside --run runs/ct
    """
    import msgspec

    from scanside.benchmarks.quality.drift import drift_table, measure_drift
    from scanside.benchmarks.tables import show
    from scanside.runtime.bundle import Bundle
    from scanside.runtime.files import replace_file
    from scanside.train.run import Run

    trained = Run(run)
    wanted = levels or trained.config().recipe.heldout_levels
    report = measure_drift(trained, Bundle.open(bundle), wanted, data, images)
    if out is not None:
        with replace_file(out) as stream:
            stream.write(msgspec.json.format(msgspec.json.encode(report)))
    show(drift_table(report))
    if report.failure:
        click.echo(f"over the gate's limit: {report.failure}", err=True)


@bench.command("torch-tensorrt")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--side",
    type=click.IntRange(32, 4096),
    default=512,
    show_default=True,
    help="Rows and columns.",
)
@click.option("--rounds", type=click.IntRange(min=3), default=50, show_default=True)
def torch_tensorrt(run: Path, side: int, rounds: int) -> None:
    """Parity and latency of RUN on this workstation's own GPU: not Jetson evidence.

    Needs torch-tensorrt, which is in no extra: it brings a CUDA build of torch. Not verified on
    hardware.

    \b
    Example:
      scanside bench torch-tensorrt runs/ct
    """
    import torch

    from scanside.benchmarks.tables import show, table
    from scanside.benchmarks.torch_tensorrt import LABEL, load_library, measure_gpu
    from scanside.train.run import Run

    library = load_library()
    device = torch.device("cuda", torch.cuda.current_device())
    found = measure_gpu(Run(run), library, device, side=side, rounds=rounds)
    where = f"{torch.cuda.get_device_name(device)}, torch-tensorrt {library.__version__}"
    show(
        table(
            f"{LABEL}\n{where}, {side} x {side}",
            ("network", "p50 ms", "p99 ms", "off by (rms)", "TensorRT / PyTorch pieces"),
            [
                (
                    name,
                    f"{row.latency.p50:.2f}",
                    f"{row.latency.p99:.2f}",
                    f"{row.difference:.2%}",
                    f"{row.engines} / {row.pieces}",
                )
                for name, row in found.items()
            ],
        )
    )


@click.command()
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("runs/demo"), show_default=True
)
@click.option(
    "--steps",
    type=click.IntRange(min=10),
    default=2000,
    show_default=True,
    help="Length of training.",
)
def demo(out: Path, steps: int) -> None:
    """The main job end to end: train, compile, serve, stream, and a report to look at.

    Uses real CT from the folder SCANSIDE_DATA as test slices when it is there.

    \b
    Example:
      scanside demo --out runs/demo
    """
    from scanside.benchmarks.demo import run_demo
    from scanside.train.recipes import load_recipe

    recipe = load_recipe("quick-ct").changed(steps=steps)
    run_demo(recipe, out, lambda line: click.echo(line, err=True))
