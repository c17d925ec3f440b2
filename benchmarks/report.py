"""The demo's report: one self-contained HTML page, and the same figures as JSON."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import jinja2
import msgspec

from scanside.benchmarks import figures
from scanside.benchmarks.evaluation import Evaluation, Pictures
from scanside.benchmarks.tables import StageFigures
from scanside.runtime.engines.cpu import device_name
from scanside.runtime.files import replace_file
from scanside.runtime.interleave import Latency
from scanside.train.recipe import Recipe
from scanside.train.run import Summary


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """A bar, what was measured, and whether it was met."""

    what: str
    measured: str
    bar: str
    passed: bool


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """All figures of a demo run. heldout: of training's own held-out phantoms. sizes: in words, by
    what they are the size of."""

    title: str
    data: str
    threads: int
    checks: list[Check]
    stages: dict[str, StageFigures]
    heldout: Summary
    latency: dict[str, Latency]
    sizes: dict[str, str]


def write_report(
    folder: Path,
    evidence: Evidence,
    evaluation: Evaluation,
    pictures: Pictures,
    shown: str,
    recipe: Recipe,
) -> Path:
    """Write FOLDER/report.html and FOLDER/report.json; returns the page's path.

    shown: the stage whose pictures are on the page.
    """
    chosen = figures.chosen_slices(evidence.stages[shown].gains)
    page = (
        jinja2.Environment(loader=jinja2.PackageLoader("scanside.benchmarks", "."), autoescape=True)
        .get_template("report.html.j2")
        .render(
            **{name: getattr(evidence, name) for name in evidence.__struct_fields__},
            machine=device_name(),
            finetune=round(recipe.steps * recipe.finetune_fraction),
            qat=round(recipe.steps * recipe.qat_fraction),
            date=date.today().isoformat(),
            window=f"{figures.LEVEL:g} / {figures.WIDTH:g} HU",
            gains=figures.gains(evidence.stages),
            latencies=figures.latencies(evidence.latency),
            pictures={
                name: figures.comparison(evaluation.cases[index], pictures, shown, index)
                for name, index in chosen.items()
            },
        )
    )
    with replace_file(folder / "report.json") as stream:
        stream.write(msgspec.json.format(msgspec.json.encode(evidence)))
    path = folder / "report.html"
    with replace_file(path) as stream:
        stream.write(page.encode())
    return path
