"""The verbs `train` and `recipes`."""

from __future__ import annotations

from pathlib import Path

import click

PATH = click.Path(path_type=Path)


@click.command()
@click.argument("recipe")
@click.option(
    "--data",
    type=PATH,
    multiple=True,
    help="A folder of DICOM, NIfTI, PNG or JPEG to train on, beside phantoms. May be repeated.",
)
@click.option("--out", type=PATH, help="The run's folder [runs/RECIPE].")
@click.option(
    "--from",
    "start",
    type=PATH,
    metavar="RUN",
    help="Go on from the float network of another run (fine-tuning).",
)
@click.option(
    "--steps", type=click.IntRange(min=10), help="Length of the float stage; the others follow."
)
@click.option("--seed", type=click.IntRange(0, 2**62), help="Another seed than the recipe's.")
@click.option(
    "--precision",
    type=click.Choice(["auto", "32", "bf16", "fp16"]),
    default="auto",
    show_default=True,
    help="Of the long stages' arithmetic; auto takes what this machine is quickest with.",
)
def train(
    recipe: str,
    data: tuple[Path, ...],
    out: Path | None,
    start: Path | None,
    steps: int | None,
    seed: int | None,
    precision: str,
) -> None:
    """Train RECIPE (a name, or your own .toml): float, pruned, then quantisation-aware beside a
    float control.

    The same command goes on where it was stopped. Under torchrun it uses every process.

    \b
    Example:
      scanside train denoise-ct --data scans/ --out runs/ct
      scanside train denoise-ct --from runs/ct --data hospital/ --steps 2000 --out runs/ours
      torchrun --nproc-per-node 2 -m scanside.runtime train denoise-mr
    """
    from scanside.train.recipes import load_recipe
    from scanside.train.stages import train_recipe

    chosen = load_recipe(recipe).changed(steps=steps, seed=seed)
    run = train_recipe(
        chosen,
        out or Path("runs") / chosen.name,
        data,
        lambda line: click.echo(line, err=True),
        start=start,
        precision=precision,
    )
    click.echo(
        f"trained into {run.folder}; next: "
        f"scanside compile {run.folder} --out {chosen.name}.scanside"
    )


@click.command()
@click.argument("name", required=False)
def recipes(name: str | None) -> None:
    """List the recipes, or print the recipe NAME to copy and change.

    \b
    Example:
      scanside recipes
      scanside recipes denoise-ct > mine.toml && scanside train mine.toml
    """
    from scanside.train.recipes import load_recipe, recipe_names, recipe_text

    if name is not None:
        click.echo(recipe_text(name), nl=False)
        return
    widest = max(len(one) for one in recipe_names())
    for one in recipe_names():
        click.echo(f"{one:{widest}}  {load_recipe(one).description}")
