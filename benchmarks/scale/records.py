"""What `bench scale` leaves in the history."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from scanside.benchmarks.evidence.paired import Estimate, Times, ratio_of
from scanside.benchmarks.evidence.record import Figure, estimated
from scanside.benchmarks.scale.busy import what_saturates
from scanside.benchmarks.scale.cells import Curve
from scanside.benchmarks.scale.measure import Block, Measured
from scanside.benchmarks.scale.saturation import Saturation, find_saturation, middle_of, p99_of

RATE, P99, SPEED_UP, SATURATES, BUSY = "rate", "p99", "speed-up", "saturates at", "busy"
CLIENTS = "clients"


def scale_figures(measured: Measured) -> list[Figure]:
    """Of every cell rate, p99 and speed-up over the fewest clients; of every curve where it
    saturates, and what was busy there. The speed-up is a ratio within a round, and so what a busy
    machine leaves alone."""
    return [figure for curve in measured.curves() for figure in _of_curve(measured, curve)]


def _of_curve(measured: Measured, curve: Curve) -> Iterator[Figure]:
    along = measured.along(curve)
    rates = rates_of(along)
    fewest = min(rates)
    where = of_curve(measured.model, curve)
    for clients, blocks in along.items():
        of = {**where, CLIENTS: str(clients)}
        mine = rates[clients]
        rounds = mine.ravel().tolist()
        yield estimated(RATE, "frames/s", of, middle_of(mine), "higher", rounds=rounds)
        trips = [one.round_trips for one in blocks]
        yield estimated(P99, "ms", of, p99_of(trips), "lower")
        if clients != fewest:
            yield estimated(
                SPEED_UP,
                "times",
                of,
                ratio_of(mine, rates[fewest]),
                "higher",
                over=f"{fewest} client{'s' * (fewest > 1)}",
                rounds=(mine / rates[fewest]).ravel().tolist(),
            )
    found = find_saturation(rates)
    ends = Estimate(found.clients, found.earliest, found.latest)
    yield estimated(SATURATES, CLIENTS, where, ends, "neither")
    for part, share in busy_at(along, found).items():
        yield Figure(
            metric=BUSY, unit="%", of={**where, "part": part}, value=100 * share, better="neither"
        )


def of_curve(model: str, curve: Curve) -> dict[str, str]:
    return {
        "transport": curve.transport,
        "side": str(curve.side),
        "cores": str(curve.cores),
        "model": model,
    }


def rates_of(along: Mapping[int, list[Block]]) -> dict[int, Times]:
    """Frames a second, (rounds, 1), by the number of clients."""
    return {count: np.array([[one.per_second] for one in found]) for count, found in along.items()}


def busy_at(along: Mapping[int, list[Block]], found: Saturation) -> dict[str, float]:
    """Share of the time, median over rounds, where the curve saturates; where it is open, at its
    best."""
    blocks = along[found.best if found.open else found.clients]
    return {part: float(np.median([one.busy[part] for one in blocks])) for part in blocks[0].busy}


def saturation_lines(measured: Measured) -> list[str]:
    """Of every curve: at how many clients it saturates, at what rate, and what is busy there."""
    lines = []
    for curve in measured.curves():
        along = measured.along(curve)
        rates = rates_of(along)
        found = find_saturation(rates)
        best = middle_of(rates[found.best])
        lines.append(
            f"{curve.transport}, {curve.side} x {curve.side}, daemon on {curve.cores} "
            f"core{'s' * (curve.cores > 1)}: saturates at {found}, best {best.value:.1f} "
            f"({best.low:.1f}..{best.high:.1f}) frames a second; "
            f"{what_saturates(busy_at(along, found))}"
        )
    return lines


def placing_lines(measured: Measured) -> list[str]:
    """Where the daemon and its clients ran."""
    return [
        f"with {cores} core{'s' * (cores > 1)}: daemon on {_cores(placing.daemon)}, clients "
        + ("counted in, on the same" if placing.shared else f"on {_cores(placing.clients)}")
        for cores, placing in measured.placings.items()
    ]


def _cores(numbers: list[int]) -> str:
    return ",".join(map(str, numbers))
