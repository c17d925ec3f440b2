"""The report's pictures, as PNG in data URIs: the page needs no network and no other file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from scanside.benchmarks.evaluation import Pictures
from scanside.benchmarks.quality.inline import png_uri
from scanside.benchmarks.tables import StageFigures
from scanside.runtime.interleave import Latency
from scanside.train.metrics.case import Case

LEVEL, WIDTH = 40.0, 400.0  # soft tissue
DIFFERENCE = 100.0


def comparison(case: Case, pictures: Pictures, shown: str, index: int) -> str:
    """One slice and its middle: noisy, enhanced, full dose; what was removed; what is left."""
    noisy, enhanced = pictures["noisy"][index], pictures[shown][index]
    window = {"cmap": "gray", "vmin": LEVEL - WIDTH / 2, "vmax": LEVEL + WIDTH / 2}
    around = {"cmap": "gray", "vmin": -DIFFERENCE, "vmax": DIFFERENCE}
    removed = noisy.astype(np.float32) - enhanced.astype(np.float32)
    left = np.where(case.inside, enhanced.astype(np.float32) - case.clean.astype(np.float32), 0)
    panels = (
        ("noisy", noisy, window),
        ("enhanced", enhanced, window),
        ("full dose", case.clean, window),
        ("removed: noisy - enhanced", removed, around),
        ("left: enhanced - full dose", left, around),
    )
    rows, columns = case.clean.shape
    middle = np.s_[rows // 3 : rows - rows // 3, columns // 3 : columns - columns // 3]
    figure = Figure(figsize=(20, 8.4), layout="constrained")
    for column, (title, image, style) in zip(figure.subplots(2, 5).T, panels, strict=True):
        for axes, part in zip(column, (image, image[middle]), strict=True):
            axes.imshow(part, interpolation="nearest", **style)
            axes.axis("off")
        column[0].set_title(title)
    return png_uri(figure, dpi=110)


def gains(stages: Mapping[str, StageFigures]) -> str:
    """PSNR gain slice by slice."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.subplots()
    for name, row in stages.items():
        if name != "noisy":
            axes.plot(range(1, len(row.gains) + 1), row.gains, marker=".", label=name, alpha=0.8)
    lowest = min(min(row.gains) for row in stages.values())
    axes.set(
        xlabel="slice", ylabel="PSNR gain over the noisy slice, dB", ylim=(min(0, lowest), None)
    )
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, ncols=2)
    return png_uri(figure, dpi=110)


def latencies(figures: Mapping[str, Latency]) -> str:
    """Median latency of each engine, with the 90th percentile as a whisker."""
    names = list(figures)
    p50 = np.array([figures[name].p50 for name in names])
    p90 = np.array([figures[name].p90 for name in names])
    figure = Figure(figsize=(9, 0.6 + 0.5 * len(names)), layout="constrained")
    axes = figure.subplots()
    axes.barh(names, p50, xerr=np.stack([np.zeros_like(p50), p90 - p50]), color="#4878a8")
    axes.invert_yaxis()
    axes.set_xlabel("ms at 512 x 512, median (whisker: 90th percentile)")
    axes.grid(axis="x", alpha=0.3)
    return png_uri(figure, dpi=110)


def chosen_slices(gain: Sequence[float]) -> dict[str, int]:
    """Which slices to show: the one that gained least, the median one and the best."""
    order = np.argsort(gain)
    return {
        "worst slice": int(order[0]),
        "median slice": int(order[len(order) // 2]),
        "best slice": int(order[-1]),
    }
