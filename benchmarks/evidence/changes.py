"""One figure in two runs: what changed, and whether that is a regression.

What is measured with noise (a ratio; a size; a count with rounds) regressed when it got worse by
more than the smallest change that matters, `least`, with confidence: the lower end of what its
worsening may be lies above `least`. The confidence, 95%, is of all judged figures together (S.
Holm, Scand. J. Stat. 6:65-70, 1979): however many figures there are, a comparison of equals alarms
once in twenty times at the most. Changes are of logarithms: 5% slower and 5% faster are as far.

What is exact (quality, counts without rounds) regressed when it is worse than its tolerance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import Enum

import msgspec
from msgspec.structs import replace

from scanside.benchmarks.evidence.kinds import Kind, kind_of, tolerance_of
from scanside.benchmarks.evidence.noise import FEWEST, Middle
from scanside.benchmarks.evidence.record import Figure
from scanside.benchmarks.evidence.spread import Spread, log_middle, widened

LEAST = 0.05
"""Of a change: the smallest that matters. A program's layout in memory alone, which the length of a
path can move, is worth some per cent (T. Mytkowicz et al., "Producing wrong data without doing
anything obviously wrong!", ASPLOS 2009)."""
ALARMS = 0.05
"""Probability of a false alarm, of all figures of a comparison together."""
FOUND = 0.95
"""Probability with which a change of the size that is called visible is found."""


class Verdict(Enum):
    WORSE = "REGRESSED"
    PERHAPS = "perhaps worse"
    SAME = "no change"
    BETTER = "better"
    SHOWN = "shown"


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """From `before` to `after`.

    against: what `before` is, in words. worsening: positive is worse; `relative` says whether it is
    a logarithm or in the figure's unit. error, freedom: of it; 0 where it is exact. p: probability
    of a worsening as large where none was beyond `least`, corrected for the figures that were
    judged beside it. visible: the smallest worsening that these two runs would have shown. why: a
    figure is not judged.
    """

    bench: str
    before: Figure
    after: Figure
    kind: Kind
    against: str = "the run before"
    verdict: Verdict = Verdict.SHOWN
    relative: bool = True
    worsening: float = math.nan
    error: float = 0.0
    freedom: float = math.inf
    p: float = 1.0
    visible: float = math.nan
    why: str = ""

    @property
    def noisy(self) -> bool:
        return self.error > 0


class Circumstances(msgspec.Struct, frozen=True, kw_only=True):
    """What the two runs have in common, and what is to be judged."""

    same_machine: bool
    same_data: bool
    crowded: bool = False
    """Whether others were at work on the machine as much as a run: what is measured with noise is
    then shown only."""
    times: bool = False
    """Whether figures by the clock are judged, where the machine is the same."""
    least: float = LEAST


def change_of(
    bench: str,
    before: Figure,
    after: Figure,
    where: Circumstances,
    spread: Spread,
    *,
    against: str = "the run before",
    reference: Middle | None = None,
) -> Change:
    """The change of one figure, its verdict open where noise is to be judged: `judged` closes it.

    reference: the middle that `before` stands for, the spread between runs in it already; from
    before's own rounds where it is not given.
    """
    kind = kind_of(after)
    change = Change(bench=bench, before=before, after=after, kind=kind, against=against)
    why = _not_judged(kind, before, after, where)
    sign = -1.0 if after.better == "higher" else 1.0
    exact = (
        kind is Kind.QUALITY
        or (kind is Kind.COUNT and not after.rounds)
        # Of a process that was started three times: too few for noise, and next to none.
        or (kind is Kind.SIZE and len(after.rounds) < FEWEST and after.low is None)
    )
    if exact:
        worse_by = sign * (after.value - before.value)
        change = replace(change, relative=False, worsening=worse_by, visible=0.0)
        if why:
            return replace(change, why=why)
        allowed = where.least * abs(before.value) if kind is Kind.SIZE else tolerance_of(before)
        # A tolerance is met by what equals it, however it was rounded.
        verdict = _exact_verdict(worse_by, allowed * (1 + 1e-9))
        return replace(change, verdict=verdict, p=float(verdict is not Verdict.WORSE))
    mine, own = log_middle(after), log_middle(before)
    if reference is None and own is not None:
        reference = widened(own, spread)
    if mine is None or reference is None:
        if min(before.value, after.value) > 0:
            change = replace(change, worsening=sign * math.log(after.value / before.value))
        return replace(change, why=why or "its noise is not known")
    mine = widened(mine, spread)
    error, freedom = pooled(mine, reference)
    worsening = sign * (mine.value - reference.value)
    return replace(change, worsening=worsening, error=error, freedom=freedom, why=why)


def pooled(one: Middle, other: Middle) -> tuple[float, float]:
    """Standard error of the difference and its degrees of freedom (B. L. Welch, Biometrika
    34:28-35, 1947)."""
    first, second = one.error**2, other.error**2
    if first + second == 0:
        return 0.0, math.inf
    parts = first**2 / one.freedom + second**2 / other.freedom
    return math.sqrt(first + second), (first + second) ** 2 / parts if parts else math.inf


def judged(changes: Sequence[Change], least: float = LEAST) -> list[Change]:
    """All changes of a comparison with their verdicts, in their order."""
    from scipy.stats import t

    open_ = [
        place
        for place, one in enumerate(changes)
        if one.noisy and not one.why and one.verdict is Verdict.SHOWN
    ]
    limit = math.log1p(least)
    raw = [
        float(t.sf((changes[at].worsening - limit) / changes[at].error, changes[at].freedom))
        for at in open_
    ]
    found = list(changes)
    for at, p in zip(open_, holm(raw), strict=True):
        one = changes[at]
        sure, see = t.ppf([1 - ALARMS / len(open_), FOUND], one.freedom)
        gained = float(t.sf((-one.worsening - limit) / one.error, one.freedom))
        if p < ALARMS:
            verdict = Verdict.WORSE
        elif one.worsening > limit:
            verdict = Verdict.PERHAPS
        elif gained < ALARMS / len(open_):
            verdict = Verdict.BETTER
        else:
            verdict = Verdict.SAME
        visible = limit + (float(sure) + float(see)) * one.error
        found[at] = replace(one, verdict=verdict, p=p, visible=visible)
    return found


def holm(chances: Sequence[float]) -> list[float]:
    """Each p corrected for all of them."""
    corrected = [1.0] * len(chances)
    so_far = 0.0
    for rank, place in enumerate(sorted(range(len(chances)), key=lambda at: chances[at])):
        so_far = max(so_far, min(1.0, (len(chances) - rank) * chances[place]))
        corrected[place] = so_far
    return corrected


def _exact_verdict(worse_by: float, allowed: float) -> Verdict:
    if worse_by > allowed:
        return Verdict.WORSE
    return Verdict.BETTER if worse_by < -allowed else Verdict.SAME


def _not_judged(kind: Kind, before: Figure, after: Figure, where: Circumstances) -> str:
    """Why not, or nothing."""
    if (before.unit, before.better) != (after.unit, after.better):
        return "its unit changed"
    if after.better == "neither":
        return "no way is better"
    if kind is Kind.OTHER:
        return "its unit is not known"
    if kind is Kind.CLOCK and not where.times:
        return "by the clock"
    if kind in (Kind.CLOCK, Kind.SIZE) and not where.same_machine:
        return "another machine"
    if kind in (Kind.CLOCK, Kind.RATIO) and where.crowded:
        return "others kept the machine busy"
    if kind is Kind.QUALITY and not where.same_data:
        return "other images"
    return ""
