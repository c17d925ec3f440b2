"""The verbs `bench pruning`, `bench sensitivity` and `bench training`."""

from __future__ import annotations

from pathlib import Path

import click

from scanside.benchmarks.evidence.kept import PATH
from scanside.runtime.cli.finite import Finite


@click.command()
@click.argument("run", type=PATH)
@click.option("--budget", type=Finite(0.05, 1.0), help="Of the MACs [the recipe's].")
@click.option("--steps", type=click.IntRange(min=10), default=500, show_default=True)
@click.option("--round-to", type=click.IntRange(min=1), default=4, show_default=True)
def pruning(run: Path, budget: float | None, steps: int, round_to: int) -> None:
    """Pruning criteria compared after equal fine-tuning, with measured latency.

    \b
    Example:
      scanside bench pruning runs/ct --budget 0.34 --steps 500
    """
    from scanside.benchmarks.tables import show, table
    from scanside.benchmarks.training.pruning import compare_criteria
    from scanside.runtime.engines.cpu import device_name
    from scanside.train.run import Run

    trained = Run(run)
    recipe = trained.config().recipe
    found = compare_criteria(trained, budget or recipe.mac_budget, steps, round_to)
    show(
        table(
            f"Pruning {recipe.name}, channels in steps of {found.round_to}: held-out PSNR before "
            f"and after {found.steps} steps; float on {found.engine}, 512 x 512, {device_name()}",
            ("criterion", "MACs", "one-shot dB", "fine-tuned dB", "ms", "times faster"),
            [
                (
                    row.criterion,
                    f"{row.macs:.0%}",
                    f"{row.one_shot:.2f}",
                    f"{row.fine_tuned:.2f}",
                    f"{row.ms:.1f}",
                    f"{row.times:.2f}",
                )
                for row in found.rows
            ],
        )
    )


@click.command()
@click.argument("run", type=PATH)
def sensitivity(run: Path) -> None:
    """Which layer INT8 hurts: PSNR with one convolution quantised at a time.

    \b
    Example:
      scanside bench sensitivity runs/ct
    """
    from scanside.benchmarks.tables import show, table
    from scanside.benchmarks.training.sensitivity import run_sensitivity
    from scanside.train.run import Run

    rows = run_sensitivity(Run(run))
    show(
        table(
            "PSNR on held-out cases with a single layer in INT8, and what it costs",
            ("layer", "PSNR dB", "drop dB"),
            [(row.name, f"{row.quality:.3f}", f"{row.drop:+.3f}") for row in rows],
        )
    )


@click.command()
@click.argument("recipe")
@click.option("--crop", "crops", type=int, multiple=True, default=(64, 96, 128), show_default=True)
@click.option("--threads", "threads", type=int, multiple=True, help="[1, 2 and all]")
@click.option("--precision", type=click.Choice(["auto", "32", "bf16", "fp16"]), default="auto")
def training(recipe: str, crops: tuple[int, ...], threads: tuple[int, ...], precision: str) -> None:
    """Images per second of the training loop against the bare forward and backward passes.

    \b
    Example:
      scanside bench training denoise-ct --crop 96 --threads 4
    """
    from scanside.benchmarks.tables import show, table
    from scanside.benchmarks.training.throughput import throughput
    from scanside.runtime.engines.cpu import device_name, usable_threads
    from scanside.train.recipes import load_recipe

    counts = threads or tuple(sorted({1, 2, usable_threads()}))
    rows = throughput(load_recipe(recipe), crops, counts, precision)
    show(
        table(
            f"Training {recipe}: patches per second, the whole loop against the bare passes; "
            f"precision {precision}, {device_name()}",
            ("patch", "threads", "loop", "bare", "share"),
            [
                (
                    f"{row.crop} x {row.crop}",
                    f"{row.threads}",
                    f"{row.loop:.1f}",
                    f"{row.bare:.1f}",
                    f"{row.share:.2f}",
                )
                for row in rows
            ],
        )
    )
