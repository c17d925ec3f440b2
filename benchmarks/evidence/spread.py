"""How far the runs of one benchmark lie apart, though nothing changed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from scanside.benchmarks.evidence.machine import Machine
from scanside.benchmarks.evidence.noise import FEWEST, MAD_TO_DEVIATION, Middle, middle_of
from scanside.benchmarks.evidence.record import Figure

BETWEEN = 0.01
"""Standard deviation, of logarithms, by which the same code's ratios are taken to differ from one
run to the next beyond the noise within each, where no runs are there to tell: within one run no
number of rounds can (T. Kalibera, R. Jones, "Rigorous benchmarking in reasonable time", ISMM 2013).
`make bench-noise` measures it."""
BETWEEN_BY_CORE = 0.05
SCATTER_BY_CORE = 0.1
"""What is added to it for each core that works for others, and the share of a run's own scatter
that is added as well: others take caches, memory and turns from one contender more than from
another, interleaving cancels only what hits all alike, and what they do is restless within a run
and between runs."""
CROWDED = 0.5
"""Share of a run's own number of cores: where others kept more cores busy than that, its ratios are
no evidence. Measured here: on 2 of 4 cores, others on 3.6 to 4, one run's ratio was 10 times
another's, throughout."""
ENOUGH = 4
"""Runs from which it is told."""
OF_AN_INTERVAL = 5.0
"""Degrees of freedom that an interval without rounds is worth: it knew nothing of drift."""


class Spread(NamedTuple):
    """deviation: of logarithms, without the noise within the runs. freedom: its degrees of freedom,
    infinite where it is assumed. share: of a run's own scatter, to be added to its deviation."""

    deviation: float = BETWEEN
    freedom: float = math.inf
    share: float = 0.0


QUIET = Spread()


def log_middle(figure: Figure) -> Middle | None:
    """Of the logarithm of a figure's rounds, else of its interval. None where neither says how far
    off it may be, or where something is not positive and has no logarithm."""
    if len(figure.rounds) >= FEWEST:
        return middle_of(np.log(np.array(figure.rounds))) if min(figure.rounds) > 0 else None
    if figure.low is None or figure.high is None or min(figure.low, figure.value) <= 0:
        return None
    error = (math.log(figure.high) - math.log(figure.low)) / (2 * 1.96)
    return Middle(math.log(figure.value), error, OF_AN_INTERVAL)


def assumed(machines: Iterable[Machine]) -> Spread:
    """Of runs on these machines, where no history tells."""
    others = max((one.others for one in machines if one.others is not None), default=0.0)
    return Spread(BETWEEN + BETWEEN_BY_CORE * others, share=SCATTER_BY_CORE * others)


def crowded(*machines: Machine) -> bool:
    """Whether others were at work on one of them as much as the run itself."""
    return any((one.others or 0.0) > CROWDED * len(one.cores) for one in machines)


def spread_of(runs: Sequence[Figure], least: Spread = QUIET) -> Spread:
    """From the same figure in earlier runs, oldest first; never under `least`. Steps from run to
    run are taken, less the usual step, and the median of them: neither a loss that creeps nor one
    run that did change is taken for noise."""
    middles = [found for one in runs if (found := log_middle(one)) is not None]
    if len(middles) < ENOUGH:
        return least
    steps = np.diff([one.value for one in middles])
    usual = float(np.median(np.abs(steps - np.median(steps))))
    whole = (MAD_TO_DEVIATION * usual) ** 2 / 2  # a step is the difference of two runs
    within = float(np.mean([one.error**2 for one in middles]))
    deviation = math.sqrt(max(whole - within, 0.0))
    if deviation <= least.deviation:
        return least
    return Spread(deviation, len(steps) - 1, least.share)


def widened(middle: Middle, spread: Spread) -> Middle:
    """A run's middle as one of all runs of the same code: the spread between them is added."""
    within = middle.error**2
    between = (spread.deviation + spread.share * middle.scatter) ** 2
    parts = within**2 / middle.freedom + between**2 / spread.freedom
    total = within + between
    freedom = total**2 / parts if parts else math.inf
    return middle._replace(error=math.sqrt(total), freedom=freedom)


def median_of(runs: Sequence[Figure], spread: Spread) -> Middle | None:
    """The median run's middle, and the error of that median as one of all runs; None where a run
    has no logarithm to offer. The median of n has pi/2 times the variance of their mean."""
    middles = [found for one in runs if (found := log_middle(one)) is not None]
    if not middles or len(middles) < len(runs):
        return None
    wide = [widened(one, spread) for one in middles]
    variance = float(np.mean([one.error**2 for one in wide])) * math.pi / 2 / len(wide)
    # Fewer pieces of evidence than the runs' own: the smallest of them speaks for all.
    freedom = min(one.freedom for one in wide)
    return Middle(float(np.median([one.value for one in middles])), math.sqrt(variance), freedom)
