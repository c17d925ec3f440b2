"""Options that are numbers: finite ones."""

from __future__ import annotations

import math
from typing import Any

import click


class Finite(click.FloatRange):
    """As FloatRange, which lets infinity through, and nan, since no bound is above it."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return number


POSITIVE = Finite(min=0, min_open=True)
