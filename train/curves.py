"""The learning curves of a run as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from scanside.runtime.files import replace_file
from scanside.train.journal import read_journal

WINDOW = 50


def plot_curves(folder: Path) -> None:
    """Write FOLDER/curves.png from metrics.jsonl: the stages one after the other, the loss smoothed
    over 50 steps and the learning rate below it. A discriminator's loss is dashed."""
    figure = Figure(figsize=(7, 5.5), layout="constrained")
    losses, rates = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    begin = 0
    for index, (stage, steps) in enumerate(read_journal(folder).items()):
        lines = [steps[number] for number in sorted(steps)]
        at = begin + np.array([line.step for line in lines])
        colour = f"C{index}"
        smooth = _smooth([line.loss for line in lines])
        losses.plot(at[-len(smooth) :], smooth, colour, label=stage)
        duel = [line.discriminator for line in lines if line.discriminator is not None]
        if duel:
            smooth = _smooth(duel)
            losses.plot(at[-len(smooth) :], smooth, colour, ls="--", label="discriminator")
        rates.plot(at, [line.rate for line in lines], colour)
        begin = int(at[-1]) + 1
        for axes in (losses, rates):
            axes.axvline(begin, color="0.6", lw=0.8, ls=":")
    losses.set(ylabel="loss (relative to the error)", yscale="log", title="Training")
    rates.set(xlabel="step", ylabel="learning rate")
    for axes in (losses, rates):
        axes.grid(alpha=0.3)
    if begin:
        losses.legend()
    with replace_file(folder / "curves.png") as stream:
        figure.savefig(stream, format="png", dpi=120)


def _smooth(values: Sequence[float]) -> npt.NDArray[np.float64]:
    window = min(WINDOW, len(values))
    return np.convolve(np.asarray(values, np.float64), np.ones(window) / window, mode="valid")
