"""The bars, and what was measured held against them."""

from __future__ import annotations

from collections.abc import Iterator

from scanside.benchmarks.report import Check
from scanside.benchmarks.serving.footprint import Installation, Start
from scanside.benchmarks.serving.load import MANY, ONE, Deafness, Throughput
from scanside.benchmarks.serving.roundtrip import IPC, SHARED, TCP, RoundTrips
from scanside.benchmarks.serving.suite import NEAR_IDENTITY, Report

RATIO = {
    (SHARED, 512): 1.5,
    (SHARED, 1024): 1.1,
    (IPC, 512): 2.0,
    (IPC, 1024): 1.45,
    (TCP, 512): 2.3,
    (TCP, 1024): 1.7,
}
"""p50 of a round trip over the floor's, near-identity model."""
NO_BAR = "no bar"
MODEL_ADDS = 1.1
"""What a real model's round trip adds, over what the near-identity model's adds."""
SHARE = 0.9
DEAF = 1.5
START_S = 1.5
IDLE_MB = 130.0
INSTALL_MB = 130.0


def verdicts(report: Report) -> list[Check]:
    """One for each bar, in the order of the report."""
    found = [*_round_trips(report.trips), *_load(report.throughput, report.deafness)]
    for start in report.starts:
        found += _start(start)
    if report.installation is not None:
        found.append(_installation(report.installation))
    return found


def lines(checks: list[Check]) -> list[str]:
    return [f"{_word(one)} {one.what}: {one.measured} ({one.bar})" for one in checks]


def _word(check: Check) -> str:
    if check.bar == NO_BAR:
        return "      "
    return "met   " if check.passed else "MISSED"


def _round_trips(trips: list[RoundTrips]) -> Iterator[Check]:
    near = {one.side: one for one in trips if one.model == NEAR_IDENTITY}
    for one in trips:
        for name, over in one.over.items():
            where = f"{one.model}, {one.side} x {one.side}, {name}"
            if one.model == NEAR_IDENTITY:
                bar = RATIO.get((name, one.side))
                yield Check(
                    what=f"{where}: round trip over {over.floor_p50:.2f} ms in process",
                    measured=f"{over.ratio}, added {over.added} ms, "
                    f"{one.outside_ms[name]:.2f} ms outside engine and guard; "
                    f"p50 {over.p50:.2f}, p99 {over.p99:.2f} ms",
                    bar=NO_BAR if bar is None else f"at most {bar:g} times",
                    passed=bar is None or over.ratio.value <= bar,
                )
            elif one.side in near and name in near[one.side].over:
                yield _of_a_real_model(where, one, near[one.side], name)


def _of_a_real_model(where: str, one: RoundTrips, near: RoundTrips, name: str) -> Check:
    """Where the noise of a network's calls hides what is added to them, the daemon's own clocks
    decide: what they leave of a call less engine and guard, beside the near-identity model's."""
    over = one.over[name]
    limit = MODEL_ADDS * near.over[name].added.value
    hidden = over.added.low <= limit < over.added.high
    by_clocks = MODEL_ADDS * near.outside_ms[name]
    outside = f"{one.outside_ms[name]:.2f} ms outside engine and guard"
    if hidden:
        words = f"at most {by_clocks:.2f} ms outside engine and guard"
        passed = one.outside_ms[name] <= by_clocks
    else:
        words = f"at most {limit:.2f} ms added"
        passed = over.added.value <= limit
    judged = (name, one.side) in RATIO
    return Check(
        what=f"{where}: added to {over.floor_p50:.2f} ms in process",
        measured=f"{'lost in noise: ' if hidden else ''}{over.added} ms, {outside}; "
        f"p50 {over.p50:.2f}, p99 {over.p99:.2f} ms",
        bar=f"{words}, {MODEL_ADDS:g} times the near-identity model's" if judged else NO_BAR,
        passed=not judged or passed,
    )


def _load(flow: Throughput, deaf: Deafness) -> Iterator[Check]:
    for name in (ONE, MANY):
        share = flow.share[name]
        yield Check(
            what=f"{name}, {flow.side} x {flow.side}, full window: rate over in process",
            measured=f"{share}, {flow.per_second[name]:.1f} frames a second",
            bar=f"at least {SHARE:g} times",
            passed=share.value >= SHARE,
        )
    yield Check(
        what=f"a client that does not read, {deaf.side} x {deaf.side}: p99 of two others with it "
        "over without",
        measured=f"{deaf.ratio}; p99 {deaf.p99_with:.2f} over {deaf.p99_without:.2f} ms, "
        f"p50 {deaf.p50_with:.2f} over {deaf.p50_without:.2f} ms",
        bar=f"at most {DEAF:g} times",
        passed=deaf.ratio.value <= DEAF,
    )


def _start(start: Start) -> Iterator[Check]:
    yield Check(
        what=f"start to `ready` on {start.engine}, files in the page cache",
        measured=f"{start.seconds:.2f} s ({min(start.all_seconds):.2f}.."
        f"{max(start.all_seconds):.2f})",
        bar=f"at most {START_S:g} s",
        passed=start.seconds <= START_S,
    )
    yield Check(
        what=f"idle memory of the daemon on {start.engine}",
        measured=f"RSS {start.rss_mb:.0f} MB, PSS {start.pss_mb:.0f} MB",
        bar=f"RSS at most {IDLE_MB:g} MB",
        passed=start.rss_mb <= IDLE_MB,
    )


def _installation(found: Installation) -> Check:
    return Check(
        what="base install in site-packages, without pip and setuptools",
        measured=f"{found.total_mb:.0f} MB",
        bar=f"at most {INSTALL_MB:g} MB",
        passed=found.total_mb <= INSTALL_MB,
    )
