"""`make doctor-corpus`: every fake device with the doctor's verdict beside what it must be.

Ends with 1 where one of them is wrong. With a FOLDER, each page is written there as HTML.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import click

sys.path.insert(0, str(Path(__file__).parents[1]))

from fake_jetsons.bundles import Bundles
from fake_jetsons.corpus import CORPUS, Row
from fake_jetsons.tree import make_jetson
from scanside.jetson.doctor.examine import examine
from scanside.jetson.doctor.html import html_page
from scanside.jetson.doctor.verdict import Page, Verdict
from scanside.jetson.machine import Machine


def page_of(row: Row, folder: Path, bundles: Bundles) -> Page:
    """The doctor's page on a device of the corpus, which is made in `folder`."""
    folder.mkdir()
    if not row.nothing:
        make_jetson(folder, **row.changes)
        bundles.trust(folder)
    return examine(Machine(folder), bundles.file(row.bundle) if row.bundle else None)


def names(page: Page, verdict: Verdict) -> set[str]:
    return {check.name for check in page.checks if check.verdict is verdict}


def main(out: Path | None) -> int:
    wrong = 0
    lines = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "bundles").mkdir()
        bundles = Bundles(folder / "bundles")
        for number, row in enumerate(CORPUS):
            page = page_of(row, folder / str(number), bundles)
            red, yellow = names(page, Verdict.RED), names(page, Verdict.YELLOW)
            right = (red, yellow) == (set(row.red), set(row.yellow))
            wrong += not right
            found = ", ".join([*sorted(red), *(f"({name})" for name in sorted(yellow))])
            state = "ok   " if right else "WRONG"
            click.echo(f"{state}  {page.verdict.value:6}  {row.name:62}  {found}".rstrip())
            if out:
                out.mkdir(parents=True, exist_ok=True)
                (out / f"{number:02}.html").write_text(html_page(page))
            lines.append(page.verdict)
    counts = ", ".join(f"{lines.count(one)} {one.value}" for one in list(Verdict)[:3])
    click.echo(f"{len(CORPUS)} devices: {counts}; {wrong} wrong. In brackets: yellow.")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else None))
