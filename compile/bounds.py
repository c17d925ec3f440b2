"""How much a model may change a frame before it is not believed, from what it did when it was
right."""

from __future__ import annotations

from collections.abc import Sequence

from scanside.runtime.golden import GoldenFrame
from scanside.runtime.guard import Change, change_of
from scanside.runtime.manifest import GoldenNoise, Guard, Intensity
from scanside.train.metrics.case import Case, Image

MARGIN = 2.0
"""Over the largest change on held-out cases, whose worst level of noise is the recipe's."""


def guard_bounds(
    images: Sequence[Image], cases: Sequence[Case], intensity: Intensity, scale: int
) -> Guard:
    """images: what the reference made of each case."""
    changes = [
        change_of(case.degraded, image, case.facts, intensity, scale)
        for image, case in zip(images, cases, strict=True)
    ]
    return Guard(
        largest_change=MARGIN * max(change.largest for change in changes),
        largest_rms=MARGIN * max(change.rms for change in changes),
    )


def golden_noise(frames: Sequence[GoldenFrame], intensity: Intensity, scale: int) -> GoldenNoise:
    """Means over the golden frames that the model changed."""
    found = [
        change_of(frame.words, frame.result, frame.facts, intensity, scale) for frame in frames
    ]
    changed: list[Change] = [change for change in found if change.rms > 0]
    count = max(1, len(changed))
    return GoldenNoise(
        mean=sum(change.mean for change in changed) / count,
        standard_deviation=sum(change.deviation for change in changed) / count,
    )
