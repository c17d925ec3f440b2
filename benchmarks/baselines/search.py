"""The strength at which a classical method is best.

Its nominal one is a cheat against correlated noise: BM3D loses 3.6 dB there.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from scipy.optimize import minimize_scalar


def best_strength(
    score: Callable[[float], float], low: float, high: float, evaluations: int = 8
) -> tuple[float, float]:
    """(strength, score) where `score` is highest between low and high.

    Bounded Brent search on the logarithm: strengths are a matter of factors.
    """
    found = minimize_scalar(
        lambda logarithm: -score(math.exp(logarithm)),
        bounds=(math.log(low), math.log(high)),
        method="bounded",
        options={"maxiter": evaluations, "xatol": 0.03},
    )
    return math.exp(float(found.x)), -float(found.fun)
