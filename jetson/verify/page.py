"""The evidence as a page to hand over. Every text in it is escaped; it loads nothing."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from importlib.resources import files
from string import Template

from scanside.jetson.verify.facts import Moment
from scanside.jetson.verify.record import Evidence, InMode

_WIDTH, _HEIGHT = 900, 110
_MARKS = {True: ("yes", "passed"), False: ("no", "failed"), None: ("none", "not seen")}


def page(evidence: Evidence, file: str, key: str) -> str:
    """HTML. file: name of the signed file. key: id of the key that signed it."""
    template = files(__package__).joinpath("page.html").read_text(encoding="utf-8")
    good = evidence.passed and evidence.unit.jetson
    known = "known " if evidence.unit.l4t else ""
    soak = evidence.soak
    gaps = [mode.gaps for mode in evidence.modes if mode.gaps]
    checks = "".join(
        _row(_mark(check.passed), escape(check.what), escape(check.figure))
        for check in evidence.checks
    )
    return Template(template).substitute(
        title=escape(f"Scanside: {evidence.unit.serial or evidence.unit.processor}"),
        colour="#116329" if good else ("#9a6700" if evidence.passed else "#b42318"),
        verdict=("passed" if evidence.passed else "failed")
        + ("" if evidence.unit.jetson else f", on no {known}Jetson"),
        verdict_class="yes" if good else ("none" if evidence.passed else "no"),
        headline=escape(evidence.headline),
        checks=checks,
        facts=_pairs(_facts(evidence)),
        side=soak.whole.side,
        gap=f"{gaps[0].gap_s:g}" if gaps else "no",
        modes="".join(_mode(mode) for mode in evidence.modes),
        soak=_pairs(
            [
                ("time", f"{soak.minutes:.2f} min, {soak.frames} frames"),
                ("golden frames passed", f"{soak.golden_passes} times"),
                (
                    "per frame",
                    f"median {soak.whole.median_ms:.2f} ms, p99 {soak.whole.p99_ms:.2f} ms, "
                    f"worst {soak.whole.worst_ms:.2f} ms",
                ),
                (
                    "first and last tenth",
                    f"median {soak.first.median_ms:.2f} ms and {soak.last.median_ms:.2f} ms",
                ),
                ("memory", f"{soak.growth_mb:+.1f} MiB over the last two thirds"),
            ]
        ),
        chart=_chart(soak.moments),
        time=escape(evidence.time),
        file=escape(file),
        key=escape(key),
    )


def _facts(evidence: Evidence) -> list[tuple[str, str]]:
    unit, plan = evidence.unit, evidence.plan
    return [
        ("module", unit.module or ("not known" if unit.l4t else "no Jetson")),
        ("serial number", unit.serial or "not told"),
        ("system", f"L4T {unit.l4t}, JetPack {unit.jetpack}" if unit.l4t else "no L4T"),
        ("kernel, Python", f"{unit.kernel}, {unit.python}"),
        ("processor", f"{unit.processor}, {unit.cores} cores"),
        ("memory", f"{unit.memory_mb} MiB" if unit.memory_mb else "not told"),
        ("Scanside", unit.scanside),
        ("bundle", f"{evidence.bundle}, identity {evidence.identity}"),
        ("its file", f"sha256 {evidence.sha256}"),
        ("signed by", evidence.signer or "nobody who is trusted here: unsigned"),
        ("engine", evidence.engine),
        (
            "plan",
            f"TensorRT {plan.tensorrt}: {plan.int8} of {plan.layers} layers on INT8, built in "
            f"{plan.seconds:.0f} s, key {plan.key}"
            if plan
            else "none",
        ),
        ("the service", "ran beside it" if evidence.service_ran else "did not run meanwhile"),
    ]


def _mode(mode: InMode) -> str:
    name = escape(mode.asked or "the only one")
    if mode.steady is None or mode.gaps is None or mode.golden is None:
        return f'<tr><td>{name}</td><td colspan="10" class="no">{escape(mode.missed)}</td></tr>'
    steady, gaps, golden, after = mode.steady, mode.gaps, mode.golden, mode.after
    numbers = [
        *(f"{one:.2f}" for one in (steady.median_ms, steady.p95_ms, steady.p99_ms)),
        *(f"{one:.2f}" for one in (steady.worst_ms, gaps.median_ms, gaps.p99_ms)),
        f"{golden.largest:.4g}",
        "equal" if golden.psnr is None else f"{golden.psnr:.1f}",
    ]
    cells = "".join(f'<td class="n">{number}</td>' for number in numbers)
    heat = "not told"
    if after and after.celsius is not None:
        heat = f"{after.celsius:.1f} °C, {after.hottest}"
    clocks = ", ".join(f"{mhz:.0f}" for mhz in after.gpu_mhz) if after else ""
    return (
        f'<tr><td>{name}</td>{cells}<td>{escape(heat)}</td><td class="n">{clocks or "–"}</td></tr>'
    )


def _chart(moments: tuple[Moment, ...]) -> str:
    """Resident memory over the soak, and the hottest zone where one is told."""
    lines = [("memory of the process, MiB", "#0969da", [one.resident_mb for one in moments])]
    heat = [one.celsius for one in moments if one.celsius is not None]
    if len(heat) == len(moments):
        lines.append(("hottest zone, °C", "#b42318", heat))
    return "".join(_line(*line) for line in lines)


def _line(title: str, colour: str, values: list[float]) -> str:
    low, high = min(values), max(values)
    span = max(high - low, 1.0)
    step = _WIDTH / max(1, len(values) - 1)
    points = " ".join(
        f"{number * step:.1f},{_HEIGHT - 10 - (value - low) / span * (_HEIGHT - 20):.1f}"
        for number, value in enumerate(values)
    )
    return (
        f"<p>{escape(title)}: {low:.1f} to {high:.1f}</p>"
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none" role="img">'
        f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{points}"/></svg>'
    )


def _pairs(rows: Iterable[tuple[str, str]]) -> str:
    return "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>" for name, text in rows
    )


def _row(*cells: str) -> str:
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _mark(passed: bool | None) -> str:
    kind, word = _MARKS[passed]
    return f'<span class="{kind}">{word}</span>'
