"""The learning curves of a run as a picture."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
from matplotlib.figure import Figure

from scanside.runtime.files import replace_file
from scanside.train.fit import Step

WINDOW = 50


def plot_curves(folder: Path) -> None:
    """Write FOLDER/curves.png from metrics.jsonl: the loss of every stage, smoothed over 50 steps.

    A resumed stage repeats the steps after its last checkpoint: the last line of a step counts.
    """
    stages: dict[str, dict[int, float]] = {}
    for line in (folder / "metrics.jsonl").read_bytes().splitlines():
        try:
            step = msgspec.json.decode(line, type=Step)
        except msgspec.DecodeError:  # the last line before the power went
            continue
        stages.setdefault(step.stage, {})[step.step] = step.loss
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for stage, losses in stages.items():
        values = np.array([losses[step] for step in sorted(losses)])
        window = min(WINDOW, len(values))
        smooth = np.convolve(values, np.ones(window) / window, mode="valid")
        axes.plot(np.arange(len(smooth)) + window, smooth, label=stage)
    axes.set(xlabel="step", ylabel="loss (relative to the noise)", yscale="log", title="Training")
    axes.grid(alpha=0.3)
    axes.legend()
    with replace_file(folder / "curves.png") as stream:
        figure.savefig(stream, format="png", dpi=120)
