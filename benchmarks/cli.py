"""The verbs `bench` and `demo`."""

from __future__ import annotations

from pathlib import Path

import click

from scanside.benchmarks.evidence.cli import compare, history
from scanside.benchmarks.latency.cli import calls, gaps, latency
from scanside.benchmarks.page.cli import report
from scanside.benchmarks.pareto.cli import pareto
from scanside.benchmarks.peers.cli import peers
from scanside.benchmarks.quality.cli import drift, quality
from scanside.benchmarks.scale.cli import scale
from scanside.benchmarks.serving.cli import serving
from scanside.benchmarks.training.cli import pruning, sensitivity, training


@click.group()
def bench() -> None:
    """Measure on this machine.

    \b
    Example:
      scanside bench latency ct.scanside
    """


for verb in (
    calls,
    compare,
    drift,
    gaps,
    history,
    latency,
    pareto,
    peers,
    pruning,
    quality,
    report,
    scale,
    sensitivity,
    serving,
    training,
):
    bench.add_command(verb)


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
