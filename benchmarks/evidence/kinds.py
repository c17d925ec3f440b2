"""What kind of number a figure is, and so how it is judged."""

from __future__ import annotations

from enum import Enum

from scanside.benchmarks.evidence.record import Figure


class Kind(Enum):
    """RATIO: of two things measured in turn in one run: what a busy or a slow machine does to both
    falls out. QUALITY: computed from pixels, the same whenever it is computed. COUNT: of calls,
    frames, lines. SIZE: memory and files: the same again on the same machine. CLOCK: a time or a
    rate by the clock, which says as much of the machine's other tenants as of us. OTHER: of a
    unit that is not known here."""

    RATIO = "a ratio"
    QUALITY = "quality"
    COUNT = "a count"
    SIZE = "a size"
    CLOCK = "by the clock"
    OTHER = "an unknown unit"


TOLERANCE = {"dB": 0.02, "HU": 0.1}
OTHER_TOLERANCE = 0.002
"""Of quality figures, by unit, and of SSIM, MTF50, Dice and the like: what another version of a
library may move. The gate at compile time allows 0.1 dB in all."""
COUNT_TOLERANCE = 0.01
"""Share of a count; none of a count of nothing."""
QUALITY = (
    "psnr", "ssim", "gmsd", "mtf", "bias", "dice", "drift", "contrast", "noise power", "gain",
)  # fmt: skip
"""How the names of such metrics begin, whatever their unit: MTF50 is over the clean image's, and no
ratio of times."""
COUNTS = (
    "call", "calls", "copies", "count", "faults", "frame", "frames", "images", "layers", "line",
    "lines", "processes", "rounds", "threads",
)  # fmt: skip
SIZES = ("B", "bytes", "kB", "MB", "GB", "KiB", "MiB", "GiB", "MACs", "parameters")
CLOCKS = (
    "ns", "us", "µs", "ms", "s", "min", "fps", "1/s", "Hz", "MHz", "GHz", "W", "mW", "J", "mJ",
    "°C",
)  # fmt: skip
CLOCK_STARTS = ("ns ", "us ", "µs ", "ms ", "s ", "CPU ")
CLOCK_ENDS = ("/s", " per second", " a second")
"""How other units of the clock begin and end: "ms per frame", "frames a second"."""


def kind_of(figure: Figure) -> Kind:
    unit = figure.unit
    if unit in CLOCKS or unit.startswith(CLOCK_STARTS) or unit.endswith(CLOCK_ENDS):
        return Kind.CLOCK
    if unit in TOLERANCE or figure.metric.lower().startswith(QUALITY):
        return Kind.QUALITY
    if unit in SIZES:
        return Kind.SIZE
    if unit in COUNTS or unit.startswith(tuple(f"{one} " for one in COUNTS)):
        return Kind.COUNT
    if unit == "times" or figure.over or (unit == "" and figure.rounds):
        return Kind.RATIO
    return Kind.QUALITY if unit in ("", "SSIM") else Kind.OTHER


def tolerance_of(figure: Figure) -> float:
    """By how much an exact figure may be worse, in its own unit."""
    if kind_of(figure) is Kind.QUALITY:
        return TOLERANCE.get(figure.unit, OTHER_TOLERANCE)
    return COUNT_TOLERANCE * abs(figure.value)
