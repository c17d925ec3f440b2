"""The page as one HTML file that needs no other, made to be printed on one sheet of A4."""

from __future__ import annotations

from html import escape

from scanside.jetson.doctor.terminal import SIGNS, SUMS
from scanside.jetson.doctor.verdict import Check, Page, Verdict

_MANY = 6
"""Lines with something to do, from which on the page is set more tightly, to stay one sheet."""
_CLASSES = {
    Verdict.GREEN: "green",
    Verdict.YELLOW: "yellow",
    Verdict.RED: "red",
    Verdict.NOT_JUDGED: "grey",
}
_STYLE = """
@page { size: A4; margin: 11mm 12mm }
:root { --red: #b3261e; --yellow: #8a6100; --green: #1b6e3c; --grey: #767b82; --ink: #1d2126;
  --line: #dfe3e8; --soft: #f5f7f9 }
* { box-sizing: border-box; -webkit-print-color-adjust: exact; print-color-adjust: exact }
body { margin: 0 auto; max-width: 186mm; padding: 8mm 0; color: var(--ink); background: #fff;
  font: 8.2pt/1.32 "Inter", "Segoe UI", "Helvetica Neue", "DejaVu Sans", Arial, sans-serif }
@media print { body { padding: 0; max-width: none } }
@media screen and (max-width: 190mm) { body { padding: 4mm } .checks { columns: 1 } }
header { border-left: 2.2mm solid var(--tone); padding: .6mm 0 .6mm 4mm; margin-bottom: 4mm;
  display: flex; justify-content: space-between; gap: 6mm; align-items: flex-end }
h1 { font-size: 16pt; line-height: 1.15; margin: 0; color: var(--tone); font-weight: 650 }
header p { margin: .8mm 0 0; color: #4a5058 }
.tally { display: flex; gap: 1.6mm; flex: none }
.tally span { border-radius: 1.6mm; padding: 1mm 2.4mm; text-align: center; min-width: 13mm;
  color: #fff; background: var(--tone); font-size: 7pt; line-height: 1.2 }
.tally b { display: block; font-size: 13pt; line-height: 1.1 }
.red { --tone: var(--red) } .yellow { --tone: var(--yellow) }
.green { --tone: var(--green) } .grey { --tone: var(--grey) }
h2 { font-size: 7.4pt; letter-spacing: .07em; text-transform: uppercase; color: #5b626b;
  margin: 0 0 1mm; font-weight: 650 }
ol { list-style: none; margin: 0 0 4mm; padding: 0; border: .25mm solid var(--line);
  border-radius: 1.6mm; overflow: hidden }
ol li { display: grid; grid-template-columns: 5mm 38mm 1fr; column-gap: 1mm;
  padding: 1.1mm 2mm 1.1mm 1.4mm;
  break-inside: avoid; border-left: 1.1mm solid var(--tone) }
ol li + li { border-top: .25mm solid var(--line) }
ol .why { color: #4a5058 }
ol .what { display: block; color: var(--ink); font-weight: 560 }
.sign { color: var(--tone); font-weight: 700; text-align: center }
.title { font-weight: 600 }
.checks { columns: 2; column-gap: 6mm }
section { break-inside: avoid; margin: 0 0 2.4mm }
table { width: 100%; border-collapse: collapse; table-layout: fixed }
td { padding: .4mm 0; vertical-align: top; border-top: .25mm solid var(--line);
  overflow-wrap: anywhere }
td:nth-child(1) { width: 5mm } td:nth-child(2) { width: 35mm; padding-right: 1mm }
td:nth-child(3) { color: #3c4249 } small { color: var(--grey); font-size: 6.6pt }
.dense { font-size: 7.2pt; line-height: 1.28 } .dense h2 { font-size: 6.6pt; margin-bottom: .4mm }
.dense ol li { padding-top: .6mm; padding-bottom: .6mm } .dense ol { margin-bottom: 2.6mm }
.dense td { padding: .2mm 0 } .dense section { margin-bottom: 1.8mm }
.dense small { display: none }
footer { margin-top: 3mm; padding-top: 1.4mm; border-top: .25mm solid var(--line);
  color: var(--grey); font-size: 7pt; display: flex; justify-content: space-between }
"""


def html_page(page: Page) -> str:
    """Every text of the device is escaped; nothing is loaded from anywhere."""
    todo = [c for v in (Verdict.RED, Verdict.YELLOW) for c in page.checks if c.verdict is v]
    device = " · ".join(
        filter(
            None,
            (page.model, page.target, page.l4t and f"L4T {page.l4t}",
             page.serial and f"serial {page.serial}"),
        )
    )  # fmt: skip
    tallies = "".join(
        f'<span class="{_CLASSES[one]}"><b>{page.count(one)}</b>{one.value}</span>'
        for one in Verdict
        if page.count(one)
    )
    what = f"<h2>What to do</h2><ol>{''.join(map(_todo, todo))}</ol>" if todo else ""
    groups = "".join(
        f"<section><h2>{escape(title)}</h2><table>{''.join(map(_row, checks))}</table></section>"
        for title, checks in page.groups().items()
    )
    dense = ' class="dense"' if len(todo) > _MANY else ""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>Scanside: {escape(device)}'
        f"</title><style>{_STYLE}</style></head><body{dense}>"
        f'<header class="{_CLASSES[page.verdict]}"><div><h1>{SUMS[page.verdict]}</h1>'
        f"<p>{escape(device or 'Nothing tells what this is.')}</p></div>"
        f'<div class="tally">{tallies}</div></header>'
        f'{what}<div class="checks">{groups}</div>'
        f"<footer><span>scanside device doctor {escape(page.scanside)}, asked as "
        f"{escape(page.asked_as)}</span><span>{escape(page.time)}, by this device's clock</span>"
        f"</footer></body></html>\n"
    )


def _todo(check: Check) -> str:
    expected = f" Expected: {escape(check.expected)}." if check.expected else ""
    return (
        f'<li class="{_CLASSES[check.verdict]}"><span class="sign">{SIGNS[check.verdict]}</span>'
        f'<span class="title">{escape(check.title)}</span><span>'
        f'<span class="why">{escape(check.found)}.{expected}</span>'
        f'<span class="what">{escape(check.next_step)}</span></span></li>'
    )


def _row(check: Check) -> str:
    """What is red or yellow stands above with all its words."""
    found = escape(check.found)
    if check.verdict in (Verdict.RED, Verdict.YELLOW):
        found = "see above"
    elif check.verdict is Verdict.GREEN and check.expected and check.expected != check.found:
        found += f" <small>({escape(check.expected)})</small>"
    return (
        f'<tr class="{_CLASSES[check.verdict]}"><td class="sign">{SIGNS[check.verdict]}</td>'
        f'<td class="title">{escape(check.title)}</td><td>{found}</td></tr>'
    )
