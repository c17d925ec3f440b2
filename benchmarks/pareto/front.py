"""Which points nothing else beats."""

from __future__ import annotations

from collections.abc import Sequence


def pareto_front(costs: Sequence[float], gains: Sequence[float]) -> list[bool]:
    """True for every point that no other is at least as good as in both and better in one.

    costs: less is better; gains: more is better. Points that are equal in both stay together. NaN
    in either is never on the front.
    """
    points = list(zip(costs, gains, strict=True))
    return [
        cost == cost
        and gain == gain
        and not any(
            other <= cost and more >= gain and (other < cost or more > gain)
            for other, more in points
        )
        for cost, gain in points
    ]
