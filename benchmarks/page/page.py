"""The report: one HTML file that needs no network, no script and no other file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timezone
from importlib.resources import files
from itertools import count
from pathlib import Path
from typing import NamedTuple

import jinja2
from markupsafe import Markup

from scanside.benchmarks.evidence.record import Record
from scanside.benchmarks.page.drawings import INK, drawings
from scanside.benchmarks.page.latest import sections
from scanside.benchmarks.page.sheets import Sheet, sheets
from scanside.benchmarks.page.verdicts import Bar, Judgement, bars, judgements, other_notes
from scanside.benchmarks.quality.inline import svg
from scanside.runtime.files import make_folder, replace_file

HERE = "scanside.benchmarks.page"
NAMES = {
    "latency": "Latency",
    "gaps": "After idle gaps",
    "calls": "Python calls for a frame",
    "serving": "What serving adds",
    "drift": "What every stage lost",
    "quality": "Beside classical methods",
    "pareto": "Quality against latency",
    "peers": "Beside other servers, engines and filters",
    "scale": "Clients, sizes, cores",
}
HARDWARE = "TensorRT and Jetson: not verified on hardware"


class Shown(NamedTuple):
    """A record as the page has it. pictures: captions and drawings."""

    record: Record
    about: dict[str, str]
    verdicts: list[Judgement]
    pictures: list[tuple[str, Markup]]
    tables: list[Sheet]
    notes: list[str]


def write_page(path: Path, records: Sequence[Record]) -> None:
    """records: a history, oldest first; the last run of each benchmark and bundle is shown."""
    numbers, held = count(), bars()
    shown = [
        (
            NAMES.get(section.bench, section.bench),
            section.bench,
            [_shown(one, numbers, held) for one in section.records],
        )
        for section in sections(records)
    ]
    page = (
        jinja2.Environment(
            loader=jinja2.PackageLoader(HERE, "."),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
        )
        .get_template("report.html.j2")
        .render(
            style=Markup(files(HERE).joinpath("report.css").read_text("utf-8")),
            sections=shown,
            date=datetime.now(timezone.utc).date().isoformat(),
        )
    )
    make_folder(path.parent)
    with replace_file(path) as stream:
        stream.write(page.encode())


def _shown(record: Record, numbers: count[int], held: Sequence[Bar]) -> Shown:
    return Shown(
        record,
        about(record),
        judgements(record, held),
        [(one.caption, inline(svg(one.picture), next(numbers))) for one in drawings(record)],
        sheets(record.figures),
        [*other_notes(record), *missing_hardware(record)],
    )


def about(record: Record) -> dict[str, str]:
    """Where a run's figures come from."""
    machine = record.machine
    versions = ", ".join(f"{name} {found}" for name, found in machine.versions.items())
    power = ", ".join(f"{name} {found}" for name, found in machine.power.items())
    found = {
        "date": record.when,
        "commit": record.commit,
        "machine": f"{machine.name}, {len(machine.cores)} cores, {machine.memory_mb / 1000:.0f} GB",
        "system": f"{machine.system}, Python {machine.python}",
        "versions": versions,
        "power": power,
        "others": ""
        if machine.others is None
        else f"{machine.others:.1f} cores were busy with the work of others",
        "bundle": record.bundle,
        "data": record.data,
    }
    found |= record.setting
    return {name: words for name, words in found.items() if words}


def missing_hardware(record: Record) -> list[str]:
    """Said of every run that TensorRT took no part in."""
    if "tensorrt" in record.machine.versions or any("hardware" in one for one in record.notes):
        return []
    return [HARDWARE]


def inline(drawing: Markup, number: int) -> Markup:
    """An <svg> that lives with others in one page: its names its own, its ink the page's."""
    text = re.sub(r'<g id="[^"]*"', "<g", str(drawing))
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>p{number}-", text)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    return Markup(text.replace(INK, "currentColor"))
