"""The verb `study`: a blinded reader study of two folders of images."""

from __future__ import annotations

from pathlib import Path

import click

from scanside.benchmarks.evidence.kept import PATH
from scanside.runtime.cli.finite import Finite


@click.group()
def study() -> None:
    """Ask readers which of two images is better, blinded.

    \b
    Example:
      scanside study new scans/ enhanced/ --out study.html
      scanside study open study.html
      scanside study score study.key.json scores-R1.json scores-R2.json
    """


@study.command()
@click.argument("folder_a", type=PATH, metavar="A")
@click.argument("folder_b", type=PATH, metavar="B")
@click.option("--out", type=PATH, required=True, help="The page; its key gets the same name.")
@click.option(
    "--names", nargs=2, metavar="A B", help="What A and B hold, for your key [the folders' names]."
)
@click.option(
    "--question",
    default="Which image would you rather read from?",
    show_default=True,
    help="Readers see it.",
)
@click.option(
    "--repeats",
    type=Finite(0, 0.5),
    default=0.2,
    show_default=True,
    help="Share of the cases that come twice.",
)
@click.option("--cases", type=click.IntRange(min=1), help="At most so many, drawn at random.")
def new(
    folder_a: Path,
    folder_b: Path,
    out: Path,
    names: tuple[str, str] | None,
    question: str,
    repeats: float,
    cases: int | None,
) -> None:
    """Make one offline page of pairs from the folders A and B.

    A and B hold DICOM or .npy files (8 or 16-bit integers) of the same relative names; of several
    frames the middle one is shown. Arrays in one subfolder are taken for one patient's, others for
    one patient each. Give the page to the readers and keep the key: only the key
    tells which image is which.

    \b
    Example:
      scanside study new scans/ enhanced/ --out study.html --names original enhanced --cases 40
    """
    from scanside.benchmarks.study.new import new_study
    from scanside.runtime.errors import PartialError

    a, b = names or (folder_a.resolve().name, folder_b.resolve().name)
    made = new_study(
        folder_a,
        folder_b,
        out,
        names=(a, b) if a != b else ("A", "B"),
        question=question,
        repeats=repeats,
        most=cases,
    )
    click.echo(
        f"{out.name}: {made.cases} cases of {made.patients} patients, {made.showings} pairs to "
        f"read\n{made.key.name}: keep it from the readers; without it the scores mean nothing"
    )
    click.echo(
        "note: the page holds pixels and no headers, but pixels are patients' data, and names "
        "burned into them were not looked for",
        err=True,
    )
    if made.left_out:
        raise PartialError(
            f"{made.left_out} files are not in the study, the others are",
            next_step="see the line of each above",
        )


@study.command("open")
@click.argument("page", type=PATH, metavar="FILE")
def open_(page: Path) -> None:
    """Open the page FILE in the browser.

    \b
    Example:
      scanside study open study.html
    """
    import webbrowser

    from scanside.runtime.errors import NoImagesError

    if not page.is_file():
        raise NoImagesError("there is no such file", next_step="name the page of `study new`")
    address = page.resolve().as_uri()
    if not webbrowser.open(address):
        click.echo("no browser was found: open this address in one", err=True)
    click.echo(address)


@study.command()
@click.argument("key", type=PATH, metavar="KEY")
@click.argument("scores", type=PATH, nargs=-1, required=True, metavar="SCORES...")
@click.option("--allow-unfinished", is_flag=True, help="Count what unfinished readers answered.")
@click.option("--json", "json_path", type=PATH, metavar="FILE", help="Write the figures too.")
def score(
    key: Path, scores: tuple[Path, ...], allow_unfinished: bool, json_path: Path | None
) -> None:
    """Preference, its certainty, and agreement, from the KEY and the readers' SCORES.

    \b
    Example:
      scanside study score study.key.json scores-*.json --json figures.json
    """
    import msgspec

    from scanside.benchmarks.study.records import read_key, read_scores
    from scanside.benchmarks.study.score import score as score_study
    from scanside.benchmarks.study.tables import habits_table, preference_table, summary_table
    from scanside.benchmarks.tables import show
    from scanside.runtime.files import replace_file

    opened = read_key(key)
    figures = score_study(
        opened, [read_scores(path, opened) for path in scores], allow_unfinished=allow_unfinished
    )
    show(preference_table(figures), habits_table(figures), summary_table(figures))
    for note in figures.notes:
        click.echo(f"note: {note}", err=True)
    if json_path is not None:
        with replace_file(json_path) as stream:
            stream.write(msgspec.json.format(msgspec.json.encode(figures)) + b"\n")
