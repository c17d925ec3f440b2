"""The verbs `bench quality` and `bench drift`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from scanside.benchmarks.evidence.kept import PATH, history_option

if TYPE_CHECKING:
    from scanside.benchmarks.quality.drift import Images, SetDrift
    from scanside.benchmarks.quality.sets import JudgedSet
    from scanside.benchmarks.quality.worst import Worst

Verb = TypeVar("Verb", bound=Callable[..., None])
SHORT_IMAGES, SHORT_DRAWS = 3, 10


def judged_on(verb: Verb) -> Verb:
    """The options that say which images a model is judged on, how they are degraded, and where the
    figures are kept."""
    for option in (
        click.option("--short", is_flag=True, help=f"In a minute or two: {SHORT_IMAGES} images."),
        history_option,
        click.option(
            "--images", type=click.IntRange(min=0), default=0, help="At most so many [all]."
        ),
        click.option(
            "--data",
            type=PATH,
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


@click.command()
@click.argument("run", type=PATH)
@click.option("--bundle", type=PATH, help="Takes its INT8 as it is served.")
@judged_on
@click.option(
    "--draws",
    type=click.IntRange(min=0),
    help=f"For the discs, CT [50; {SHORT_DRAWS} with --short].",
)
@click.option("--out", type=PATH, help="JSON [RUN/quality.json].")
def quality(
    run: Path,
    bundle: Path | None,
    levels: tuple[float, ...],
    data: tuple[Path, ...],
    images: int,
    history: Path | None,
    short: bool,
    draws: int | None,
    out: Path | None,
) -> None:
    """Every stage of RUN beside classical methods at their best strength, and what PSNR hides.

    \b
    Example:
      scanside bench quality runs/ct --bundle ct.scanside --level 20 --level 40 --level 80
    """
    from scanside.benchmarks.evidence.record import HISTORY, append_record, new_record
    from scanside.benchmarks.quality.records import quality_figures
    from scanside.benchmarks.quality.report import compare, tables, write_report
    from scanside.benchmarks.tables import show
    from scanside.runtime.bundle import Bundle
    from scanside.train.discs import DRAWS
    from scanside.train.run import Run

    trained = Run(run)
    wanted = levels or trained.config().recipe.heldout_levels
    if draws is None:
        draws = SHORT_DRAWS if short else DRAWS
    most = images or (SHORT_IMAGES if short else 0)
    report = compare(trained, bundle, wanted, data, most, draws)
    write_report(out or run / "quality.json", report)
    show(*tables(report))
    record = new_record(
        "quality",
        quality_figures(report),
        bundle=Bundle.open(bundle) if bundle is not None else None,
        data=f"{report.set}; data range {report.data_range}",
        setting={"recipe": report.recipe, "steps": f"{report.steps}", "draws": f"{draws}"},
    )
    append_record(history or HISTORY, record)


@click.command()
@click.argument("bundle", type=PATH, metavar="FILE")
@click.option(
    "--run",
    type=PATH,
    required=True,
    help="The run it was compiled from: its float networks.",
)
@click.option(
    "--set",
    "names",
    multiple=True,
    metavar="NAME",
    help="phantoms, or a folder in SCANSIDE_DATA; may be repeated [the held-out real series, "
    "phantoms].",
)
@judged_on
@click.option("--page", type=PATH, metavar="FILE", help="HTML [drift-NAME.html by the history].")
@click.option("--out", type=PATH, help="JSON as well.")
def drift(
    bundle: Path,
    run: Path,
    names: tuple[str, ...],
    levels: tuple[float, ...],
    data: tuple[Path, ...],
    images: int,
    history: Path | None,
    short: bool,
    page: Path | None,
    out: Path | None,
) -> None:
    """What every stage lost, from the float network to the INT8 that a daemon serves.

    Every file of the bundle FILE on every engine here, and a daemon for each engine, compared bit
    by bit. Ends with an error where the gate's limit is not kept.

    \b
    Example:
      scanside bench drift ct.scanside --run runs/ct
      scanside bench drift ct.scanside --run runs/ct --set phantoms --level 20
    """
    import msgspec

    from scanside.benchmarks.evidence.record import HISTORY, append_record, new_record
    from scanside.benchmarks.quality.drift import measure_drift, stages_of
    from scanside.benchmarks.quality.drift_tables import drift_tables, served_lines
    from scanside.benchmarks.quality.page import write_page
    from scanside.benchmarks.quality.records import drift_figures
    from scanside.benchmarks.quality.sets import default_names, find_sets
    from scanside.benchmarks.quality.worst import worst_frames
    from scanside.benchmarks.tables import show
    from scanside.runtime.bundle import Bundle
    from scanside.runtime.files import replace_file
    from scanside.train.run import Run

    trained, opened, history = Run(run), Bundle.open(bundle), history or HISTORY
    stages = stages_of(trained, opened)
    recipe = trained.config().recipe
    most = images or (SHORT_IMAGES if short else 0)
    wanted, notes = (names, []) if names or data else default_names(recipe)
    sets = find_sets(recipe, levels or recipe.heldout_levels, wanted, data, most)
    worst: dict[str, list[Worst]] = {}

    def keep(judged: JudgedSet, found: SetDrift, made: Images) -> None:
        worst[judged.name] = worst_frames(judged, found, made)

    report = measure_drift(stages, bundle, sets, keep)
    report = msgspec.structs.replace(report, notes=[*notes, *report.notes])
    show(*drift_tables(report))
    for line in [*served_lines(report), *report.notes]:
        click.echo(line)
    page = page or history.parent / f"drift-{opened.manifest.name}.html"
    write_page(page, report, worst)
    click.echo(f"page: {page}")
    if out is not None:
        with replace_file(out) as stream:
            stream.write(msgspec.json.format(msgspec.json.encode(report)))
    record = new_record(
        "drift",
        drift_figures(report),
        bundle=opened,
        data="; ".join(f"{one.words}, data range {one.data_range}" for one in report.sets),
        setting={"threads": f"{report.threads}"},
        notes=report.notes,
    )
    append_record(history, record)
    report.raise_failures()
