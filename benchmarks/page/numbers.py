"""How figures are written: as many digits as mean something in their unit."""

from __future__ import annotations

from scanside.benchmarks.evidence.record import Figure


def digits(value: float, unit: str) -> str:
    """dB to hundredths, or thousandths below 1; SSIM and the like to four places; everything else
    to three digits or whole."""
    if value != value or value in (float("inf"), float("-inf")):
        return "no number"
    if unit == "dB":
        return f"{value:.3f}" if abs(value) < 1 else f"{value:.2f}"
    if value == int(value) and abs(value) < 1e6:
        return f"{int(value):,}"
    if unit == "":
        return f"{value:.4f}"
    size = abs(value)
    if size >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 10 else f"{value:.2f}" if size >= 1 else f"{value:.3g}"


def with_interval(figure: Figure) -> str:
    """Value and 95% interval, without the unit. A single sample has none."""
    text = digits(figure.value, figure.unit)
    if figure.low == figure.high:
        return text
    ends = ("?" if end is None else digits(end, figure.unit) for end in (figure.low, figure.high))
    return f"{text} ({'..'.join(ends)})"
