"""The verb `train`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("recipe")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    multiple=True,
    help="A folder of DICOM to train on, beside the phantoms. May be repeated.",
)
@click.option("--out", type=click.Path(path_type=Path), help="The run's folder [runs/RECIPE].")
@click.option(
    "--steps", type=click.IntRange(min=10), help="Length of the float stage; the others follow."
)
@click.option("--seed", type=click.IntRange(0, 2**62), help="Another seed than the recipe's.")
def train(
    recipe: str, data: tuple[Path, ...], out: Path | None, steps: int | None, seed: int | None
) -> None:
    """Train RECIPE: float, pruned, then quantisation-aware beside a float control.

    The same command goes on where it was stopped.

    \b
    Example:
      scanside train denoise-ct --data scans/ --out runs/ct
    """
    from scanside.train.recipes import load_recipe
    from scanside.train.stages import shorten, train_recipe

    chosen = shorten(load_recipe(recipe), steps, seed)
    run = train_recipe(
        chosen, out or Path("runs") / recipe, data, lambda line: click.echo(line, err=True)
    )
    click.echo(
        f"trained into {run.folder}; next: scanside compile {run.folder} --out {recipe}.scanside"
    )
