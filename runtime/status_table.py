"""A daemon's STATUS as a table for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta

from rich.table import Table
from rich.text import Text

from scanside.runtime.wire import Drift, Status

GOOD, BAD, PLAIN = "green", "bold red", ""


def status_table(status: Status) -> Table:
    """Two columns, what and how it stands; what needs somebody's attention is red."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value, style in _rows(status):
        # Text, because a string would be read as markup; and whoever answers may be anybody.
        table.add_row(Text(name), Text(_printable(value), style=style))
    return table


def _rows(status: Status) -> Iterator[tuple[str, str, str]]:
    yield "state", status.state, GOOD if status.state == "READY" else BAD
    card = status.model
    if card is None:
        yield "model", "none yet", PLAIN
    else:
        yield "model", f"{card.name} {card.version} ({card.identity[:12]}), {card.scale}x", PLAIN
        yield "signed", *(("yes", PLAIN) if card.signed else ("no", BAD))
        yield "engine", card.engine, PLAIN
        yield "guard", *(("on", PLAIN) if status.guarded else ("the bundle has no bounds", BAD))
    counters, pace = status.counters, status.pace
    yield "up", str(timedelta(seconds=int(status.uptime_s))), PLAIN
    yield "sessions", f"{counters.sessions}, streams {counters.streams}", PLAIN
    yield "queue", str(counters.queue), PLAIN
    yield "frames/s", f"{pace.frames_per_second:.1f}", PLAIN
    if pace.frames:
        times = f"p50 {pace.p50_ms:.1f} ms, p99 {pace.p99_ms:.1f} ms"
        yield "in the daemon", f"{times} (last {pace.frames} enhanced)", PLAIN
    yield "enhanced", str(counters.enhanced), PLAIN
    yield "bypassed", *_counts(counters.bypassed)
    yield "refused", *_counts(counters.refused)
    yield "errors", f"{counters.errors}, peers closed {counters.closed_peers}", PLAIN
    if not status.drift:
        yield "drift", "nothing to compare yet", PLAIN
    for one in status.drift:
        yield f"drift {one.modality}", _drift(one), BAD if one.drifting or one.streams else PLAIN


def _counts(counted: Mapping[str, int]) -> tuple[str, str]:
    parts = ", ".join(f"{reason} {frames}" for reason, frames in sorted(counted.items()))
    alarming = counted.get("guard") or counted.get("engine error")
    return parts or "0", BAD if alarming else PLAIN


def _drift(one: Drift) -> str:
    verdict = f"DRIFTING: {one.drifting}" if one.drifting else "none seen"
    figures = f"strength {one.strength:.2f}, shift {one.shift:.2f}, {one.frames} frames"
    streams = f", {one.streams} streams drift" if one.streams else ""
    return f"{verdict} ({figures}{streams})"


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)
