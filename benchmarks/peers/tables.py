"""What a terminal shows of the peers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.table import Table

from scanside.benchmarks.evidence.paired import Times
from scanside.benchmarks.peers.footprint import Footprint
from scanside.benchmarks.peers.overheads import median_of
from scanside.benchmarks.peers.rows import EngineRow, Filters
from scanside.benchmarks.peers.services import OURS
from scanside.benchmarks.peers.suite import CLIENTS, Contender, Race
from scanside.benchmarks.peers.verdicts import rate_of
from scanside.benchmarks.tables import table

HEADINGS = (
    "server and transport",
    "p50 ms",
    "overhead ms (95%)",
    f"frames/s, {CLIENTS} clients",
    "CPU ms/frame server + client",
    "RSS / PSS MB (processes)",
    "cold start s",
    "lines server + client",
    "installed MB, added",
)
"""Of the table that issue 7 names. A server's second way stands without its memory, start, lines
and size: they are the first way's."""


def race_table(race: Race, feet: Sequence[Footprint], where: str) -> Table:
    of_peer = {one.peer: one for one in feet}
    seen: set[str] = set()
    rows = []
    for one in race.contenders:
        foot = None if one.peer in seen else of_peer.get(one.peer)
        seen.add(one.peer)
        rows.append((*_moving(one), *_standing(foot)))
    floor = race.contenders[0].over.floor_p50
    alone = float(np.median(race.alone.per_second))
    title = (
        f"Serving peers: {race.model}, {race.side} x {race.side} uint16 (12 bits), {where}\n"
        f"in process {floor:.2f} ms, {alone:.0f} frames/s from one caller"
    )
    return table(title, HEADINGS, rows)


def guard_lines(race: Race) -> list[str]:
    """Our overhead with and without what the daemon's own clocks say that engine and guard took."""
    found = []
    for one in race.contenders:
        if one.peer == OURS:
            outside = median_of(one.trips.times - one.trips.inside)
            guard = median_of(one.trips.inside - one.floor.times)
            found.append(
                f"{one.name}, {race.model}, {race.side} x {race.side}: overhead "
                f"{one.over.added} ms, of which outside engine and guard {outside} ms; the guard, "
                f"and what the engine takes longer in a daemon, {guard} ms"
            )
    return found


def engine_table(rows: Sequence[EngineRow], where: str) -> Table:
    return table(
        f"Engine peers: {where}",
        ("engine", "p50 ms (95%)", "p99 ms", "times as fast as eager (95%)", "first call s"),
        [
            (
                row.name,
                str(row.ms),
                f"{row.p99:.1f}",
                str(row.faster),
                "" if row.first_s is None else f"{row.first_s:.1f}",
            )
            for row in rows
        ],
    )


def filter_table(found: Filters, where: str) -> Table:
    return table(
        f"Quality peers: {found.words}, {found.level:g} {found.unit}, {where}\n"
        f"PSNR over {found.data_range}",
        ("method", "PSNR dB", "gain dB", "SSIM", "ms a slice (95%)", "times the fastest's (95%)"),
        [
            (
                row.name,
                f"{row.psnr:.2f}",
                f"{row.gain:+.2f}",
                f"{row.ssim:.4f}",
                str(row.ms),
                str(row.slower),
            )
            for row in found.rows
        ],
    )


def footprint_lines(feet: Sequence[Footprint]) -> list[str]:
    return [
        f"{one.peer}: {one.idle_ms:.0f} ms of processor time a second while idle; started in "
        + ", ".join(f"{seconds:.2f}" for seconds in one.starts)
        + " s"
        for one in feet
    ]


def _moving(one: Contender) -> tuple[str, ...]:
    return (
        one.name,
        f"{one.over.p50:.2f}",
        str(one.over.added),
        f"{rate_of(one):.0f}",
        f"{_middle(one.flow.server_ms):.1f} + {_middle(one.flow.client_ms):.1f}",
    )


def _standing(foot: Footprint | None) -> tuple[str, ...]:
    if foot is None:
        return ("", "", "", "")
    return (
        f"{foot.rss_mb:.0f} / {foot.pss_mb:.0f} ({foot.processes})",
        f"{foot.start:.2f}",
        f"{foot.server_lines} + {foot.client_lines}",
        f"{foot.total_mb:.0f}, {foot.added_mb:.0f}",
    )


def _middle(values: Times) -> float:
    return float(np.median(values))
