"""Timing that a noisy machine cannot fool: everything in turn, compared within the same round."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import msgspec
import numpy as np

from scanside.runtime.progress import task

PAUSE_S = 0.01


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds per call over all rounds; `ratio` is the baseline's time over this one's (how
    many times faster), median of the rounds' ratios, with its 5th and 95th percentile."""

    p50: float
    p90: float
    p99: float
    ratio: float
    ratio_low: float
    ratio_high: float


def interleave(
    contenders: Mapping[str, Callable[[], object]], baseline: str, rounds: int, warm_up: int = 3
) -> dict[str, Latency]:
    """Call every contender once a round, in a new random order each round.

    Before each call the machine is left alone for `PAUSE_S`: some libraries' threads spin for a
    while after their work and would slow whoever comes next.
    """
    names = list(contenders)
    times: dict[str, list[float]] = {name: [] for name in names}
    rng = np.random.default_rng(0)
    with task("Measuring latency", warm_up + rounds) as progress:
        for round_ in range(-warm_up, rounds):
            for index in rng.permutation(len(names)):
                name = names[index]
                time.sleep(PAUSE_S)
                start = time.perf_counter()
                contenders[name]()
                if round_ >= 0:
                    times[name].append((time.perf_counter() - start) * 1e3)
            progress.advance()
    base = np.array(times[baseline])
    result = {}
    for name in names:
        mine = np.array(times[name])
        ratios = base / mine
        p50, p90, p99 = np.percentile(mine, [50, 90, 99])
        low, middle, high = np.percentile(ratios, [5, 50, 95])
        result[name] = Latency(
            p50=float(p50),
            p90=float(p90),
            p99=float(p99),
            ratio=float(middle),
            ratio_low=float(low),
            ratio_high=float(high),
        )
    return result
