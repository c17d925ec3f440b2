"""The verb `bench pareto`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from scanside.benchmarks.evidence.kept import PATH, history_option
from scanside.runtime.cli.finite import Finite

if TYPE_CHECKING:
    from scanside.train.recipe import Recipe

SHARE = Finite(0, 1, min_open=True)
RECIPE = "quick-ct"
WIDTHS, SHARES, STEPS, IMAGES, ROUNDS = (8, 16), (0.34, 0.6), 600, 10, 40
LONGER = (
    "what is pruned was trained on after its unpruned network stopped: that it is better is "
    "training, not pruning"
)
SHORT_SHARES, SHORT_STEPS, SHORT_IMAGES, SHORT_ROUNDS, SHORT_PHANTOMS = (0.5,), 60, 3, 12, 24


@click.command()
@click.argument("recipe", required=False)
@click.option(
    "--width",
    "widths",
    type=click.IntRange(4, 256),
    multiple=True,
    help=f"Channels at full resolution; may be repeated {list(WIDTHS)}.",
)
@click.option(
    "--prune",
    "shares",
    type=SHARE,
    multiple=True,
    metavar="SHARE",
    help=f"Prune to this share of the MACs, 0 to 1; may be repeated {list(SHARES)}.",
)
@click.option("--steps", type=click.IntRange(min=10), help=f"Of each cell's float stage [{STEPS}].")
@click.option(
    "--run",
    "runs",
    type=PATH,
    multiple=True,
    help="A finished run to be points as well; may be repeated.",
)
@click.option(
    "--level",
    "levels",
    type=float,
    multiple=True,
    help="Of the degradation, in its unit; may be repeated [the recipe's held-out levels].",
)
@click.option(
    "--data", type=PATH, multiple=True, help="Clean images to judge on [the held-out real series]."
)
@click.option("--images", type=click.IntRange(min=1), help=f"To judge on, at most [{IMAGES}].")
@click.option("--engine", help="That runs them all [the first that is installed].")
@click.option("--threads", type=click.IntRange(min=1), help="Of the engine [all cores].")
@click.option("--rounds", type=click.IntRange(5, 60), help=f"Of timing [{ROUNDS}].")
@click.option(
    "--out",
    type=PATH,
    default=Path("runs/bench/pareto"),
    show_default=True,
    help="Folder of the cells' runs, the page and the plot.",
)
@click.option("--short", is_flag=True, help="In a minute or two: two cells, trained for moments.")
@history_option
def pareto(
    recipe: str | None,
    widths: tuple[int, ...],
    shares: tuple[float, ...],
    steps: int | None,
    runs: tuple[Path, ...],
    levels: tuple[float, ...],
    data: tuple[Path, ...],
    images: int | None,
    engine: str | None,
    threads: int | None,
    rounds: int | None,
    out: Path,
    short: bool,
    history: Path | None,
) -> None:
    """Quality against latency over widths, prune ratios and precisions of RECIPE.

    Trains the grid (a finished cell is not trained again), judges all on the held-out real series
    and times them in one run. With --run and no RECIPE nothing is trained.

    \b
    Example:
      scanside bench pareto quick-ct --width 8 --width 16 --prune 0.34 --prune 0.6 --steps 600
      scanside bench pareto --run runs/ct --run runs/narrow
    """
    from scanside.benchmarks.evidence.record import HISTORY, append_record, new_record
    from scanside.benchmarks.pareto.contenders import (
        choose_engine,
        contenders_of,
        insist_on_one_task,
    )
    from scanside.benchmarks.pareto.grid import grid, train_grid
    from scanside.benchmarks.pareto.page import PICTURE, write_page
    from scanside.benchmarks.pareto.records import sweep_figures, sweep_tables
    from scanside.benchmarks.pareto.sweep import sweep
    from scanside.benchmarks.quality.sets import default_names, find_sets
    from scanside.benchmarks.tables import show
    from scanside.runtime.engines.cpu import usable_threads
    from scanside.train.run import Run

    def say(line: str) -> None:
        click.echo(line, err=True)

    name = choose_engine(engine)
    given = [(path.name, Run(path)) for path in runs]
    cells = []
    if recipe is not None or not runs:
        chosen = _chosen(recipe or RECIPE, steps, short)
        cells = grid(chosen, widths or WIDTHS, shares or (SHORT_SHARES if short else SHARES))
    insist_on_one_task([one.recipe for one in cells] + [run.config().recipe for _, run in given])
    trained = train_grid(cells, out, say)
    every = [(f"{cell.width} wide", trained[cell.name]) for cell in cells] + given
    first = every[0][1].config().recipe
    names, notes = ([], []) if data else default_names(first)
    most = images or (SHORT_IMAGES if short else IMAGES)
    sets = find_sets(first, levels or first.heldout_levels, names[:1], data, most)
    notes.append(LONGER)
    if short:
        notes.append("a short form: it shows that the sweep works, not what the networks can do")
    used = threads or usable_threads()
    titles = [f"{first.name}, {first.steps} steps"] * bool(cells) + ["finished runs"] * bool(given)
    title = " and ".join(titles)
    report = sweep(
        contenders_of(every, name, used),
        sets[0],
        title=title,
        rounds=rounds or (SHORT_ROUNDS if short else ROUNDS),
        notes=notes,
    )
    show(*sweep_tables(report))
    for note in report.notes:
        click.echo(note)
    page = write_page(out, report)
    click.echo(f"page: {page}; plot: {out / PICTURE}")
    record = new_record(
        "pareto",
        sweep_figures(report),
        data=f"{report.set}; data range {report.data_range}",
        setting={
            "sweep": title,
            "engine": report.engine,
            "threads": f"{report.threads}",
            "frame": report.frame,
        },
        notes=report.notes,
    )
    append_record(history or HISTORY, record)


def _chosen(name: str, steps: int | None, short: bool) -> Recipe:
    import msgspec

    from scanside.train.recipes import load_recipe

    recipe = load_recipe(name).changed(steps=steps or (SHORT_STEPS if short else STEPS))
    return msgspec.structs.replace(recipe, phantoms=SHORT_PHANTOMS) if short else recipe
