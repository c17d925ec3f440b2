"""The frame that each INT8 stage spoilt most, as a picture: a mean hides the one that matters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from scanside.benchmarks.figures import LEVEL, WIDTH
from scanside.benchmarks.quality.drift import FLOAT, INPUT, PRUNED, Images, SetDrift
from scanside.benchmarks.quality.inline import png_uri
from scanside.benchmarks.quality.sets import JudgedSet
from scanside.compile.gate import CONTROL
from scanside.train.metrics.case import Case, Image
from scanside.train.metrics.quality import psnr

SHOWN = 99.9
"""Percentile of the difference's size that may fill the grey scale."""
MOST = 4096.0


class Worst(NamedTuple):
    """stages: those that made the very same image of it. loss: PSNR minus the control's, dB."""

    stages: str
    words: str
    loss: float
    picture: str


def worst_frames(found: JudgedSet, drift: SetDrift, images: Images) -> list[Worst]:
    """Of every INT8 stage the frame that lost most against the float control. Stages that lost most
    on one frame and made the same bits of it share a picture."""
    control = images[CONTROL]
    by_frame: dict[tuple[int, bytes], list[str]] = {}
    for name in images:
        if name in (INPUT, FLOAT, PRUNED, CONTROL):
            continue
        index = int(np.argmin(_losses(images[name], control, found.cases)))
        by_frame.setdefault((index, images[name][index].tobytes()), []).append(name)
    pages = []
    for (index, _), names in by_frame.items():
        case, made = found.cases[index], images[names[0]][index]
        loss = _losses([made], [control[index]], [case])[0]
        slices = len(found.slices)
        levels = len(found.cases) // slices
        words = (
            f"slice {index // levels + 1} of {slices} at {case.level:g} {found.unit}: "
            f"{loss:+.3f} dB against the control"
        )
        picture = _picture(case, images[INPUT][index], control[index], made)
        pages.append(Worst(", ".join(names), words, loss, picture))
    return pages


def _losses(
    images: Sequence[Image], control: Sequence[Image], cases: Sequence[Case]
) -> list[float]:
    return [
        psnr(image, case.clean, case.inside, case.ruler)
        - psnr(other, case.clean, case.inside, case.ruler)
        for image, other, case in zip(images, control, cases, strict=True)
    ]


def window_of(case: Case) -> tuple[float, float]:
    """Darkest and brightest shown value: soft tissue in CT, else all of the data range."""
    if case.facts.modality == "CT":
        return LEVEL - WIDTH / 2, LEVEL + WIDTH / 2
    return case.ruler.low, case.ruler.low + case.ruler.data_range


def magnification(difference: npt.NDArray[np.float64], half: float) -> float:
    """The largest power of two that keeps 99.9% of the difference within `half` either way."""
    size = float(np.percentile(np.abs(difference), SHOWN))
    if size == 0:
        return 1.0
    return float(2.0 ** np.clip(np.floor(np.log2(half / size)), 0, np.log2(MOST)))


def _picture(case: Case, degraded: Image, control: Image, made: Image) -> str:
    low, high = window_of(case)
    difference = np.where(case.inside, made.astype(np.float64) - control, 0.0)
    times = magnification(difference, (high - low) / 2)
    half = (high - low) / 2 / times
    style = {"cmap": "gray", "interpolation": "nearest"}
    window = {**style, "vmin": low, "vmax": high}
    unit = case.ruler.unit
    panels = (
        (f"input ({low:g} to {high:g} {unit})", degraded, window),
        ("float control", control, window),
        ("INT8", made, window),
        (
            f"(INT8 - control) x {times:g} (±{half:g} {unit})",
            difference,
            {**style, "vmin": -half, "vmax": half},
        ),
    )
    rows, columns = case.clean.shape
    figure = Figure(figsize=(16, 16 / 4 * rows / columns + 0.5), layout="constrained")
    for axes, (title, image, how) in zip(figure.subplots(1, len(panels)), panels, strict=True):
        axes.imshow(image, **how)
        axes.set_title(title, fontsize=11)
        axes.axis("off")
    return png_uri(figure, dpi=110)
