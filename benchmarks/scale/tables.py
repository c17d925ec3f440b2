"""Rates and latencies on a terminal: a table for each number of cores."""

from __future__ import annotations

from rich.table import Table

from scanside.benchmarks.evidence.record import Figure, Record
from scanside.benchmarks.scale.records import CLIENTS, P99, RATE, SATURATES
from scanside.benchmarks.tables import table


def scale_tables(record: Record) -> list[Table]:
    """Frames a second (95%) and p99 by the number of clients."""
    cores = sorted({one.of["cores"] for one in record.figures}, key=int)
    return [_table(record, count) for count in cores]


def _table(record: Record, cores: str) -> Table:
    mine = [one for one in record.figures if one.of["cores"] == cores]
    counts = sorted({int(one.of[CLIENTS]) for one in mine if CLIENTS in one.of})
    cells = {(_curve(one), one.metric, one.of.get(CLIENTS, "")): one for one in mine}
    curves = dict.fromkeys(_curve(one) for one in mine)
    rows = []
    for curve in curves:
        limit = cells[curve, SATURATES, ""]
        row = [curve]
        for count in counts:
            rate, p99 = (cells.get((curve, metric, str(count))) for metric in (RATE, P99))
            row.append(_cell(rate, p99) if rate is not None and p99 is not None else "")
        rows.append((*row, f"{limit.value:g} ({limit.low:g}..{limit.high:g})"))
    setting = record.setting
    return table(
        f"Frames a second (95%) and p99: {setting['model']}\ndaemon on {cores} of "
        f"{len(record.machine.cores)} cores, {setting['engine']} with as many threads\n"
        f"{record.machine.name}, {setting['rounds']} in turn\n{record.data}; {record.when}",
        ("", *(f"{count} client{'s' * (count > 1)}" for count in counts), "saturates at"),
        rows,
    )


def _curve(one: Figure) -> str:
    return f"{one.of['transport']}, {one.of['side']}"


def _cell(rate: Figure, p99: Figure) -> str:
    return f"{rate.value:.0f}\n({rate.low:.0f}..{rate.high:.0f})\n{p99.value:.1f} ms"
