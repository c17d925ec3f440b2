"""The drift page: every stage's figures, drift image by image, and the worst frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import jinja2
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from scanside.benchmarks.quality.drift import DriftReport, SetDrift
from scanside.benchmarks.quality.inline import png_uri
from scanside.benchmarks.quality.worst import Worst
from scanside.compile.gate import CONTROL
from scanside.runtime.files import replace_file


def write_page(path: Path, report: DriftReport, worst: Mapping[str, Sequence[Worst]]) -> None:
    """One self-contained HTML file. worst: by the set's name."""
    page = (
        jinja2.Environment(
            loader=jinja2.PackageLoader("scanside.benchmarks.quality", "."),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
        )
        .get_template("drift.html.j2")
        .render(
            report=report,
            worst=worst,
            control=CONTROL,
            plots={one.name: _by_image(one) for one in report.sets},
        )
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with replace_file(path) as stream:
        stream.write(page.encode())


def _by_image(one: SetDrift) -> str:
    """PSNR of every INT8 stage minus the control's, image by image."""
    figure = Figure(figsize=(11, 3.8), layout="constrained")
    axes = figure.subplots()
    control = one.verdict.engines[CONTROL].cases
    for name, found in one.verdict.engines.items():
        if name != CONTROL:
            drift = [ours - theirs for ours, theirs in zip(found.cases, control, strict=True)]
            axes.plot(range(1, len(drift) + 1), drift, marker=".", lw=0.8, label=name, alpha=0.8)
    axes.axhline(-one.verdict.limits.worst_db, color="#a11", linestyle="--", linewidth=1)
    axes.axhline(0, color="#222", linewidth=0.8)
    axes.set(
        xlabel=f"image; of each slice all levels ({', '.join(one.levels)} {one.level_unit}). "
        "Dashed: the limit of one image",
        ylabel="PSNR minus the control's, dB",
    )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, ncols=3)
    return png_uri(figure)
