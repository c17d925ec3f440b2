"""The sweep as one HTML page, and its plot as a PNG beside it."""

from __future__ import annotations

from pathlib import Path

import jinja2

from scanside.benchmarks.pareto.plot import draw
from scanside.benchmarks.pareto.sweep import SweepReport
from scanside.benchmarks.quality.inline import svg
from scanside.compile.gate import Limits
from scanside.runtime.files import replace_file

PAGE, PICTURE = "pareto.html", "pareto.png"


def write_page(folder: Path, report: SweepReport) -> Path:
    """Write FOLDER/pareto.html, which needs no other file, and FOLDER/pareto.png; returns the
    page's path."""
    folder.mkdir(parents=True, exist_ok=True)
    page = (
        jinja2.Environment(
            loader=jinja2.PackageLoader("scanside.benchmarks.pareto", "."),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
        )
        .get_template("pareto.html.j2")
        .render(report=report, plot=svg(draw(report)), limit=Limits().mean_db)
    )
    with replace_file(folder / PICTURE) as stream:
        draw(report).savefig(stream, format="png", dpi=130)
    with replace_file(folder / PAGE) as stream:
        stream.write(page.encode())
    return folder / PAGE
