"""Contrast recovery on CT: +40 HU discs in the flattest soft tissue that the images hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from scanside.runtime.engines import Engine
from scanside.runtime.errors import NoImagesError
from scanside.runtime.progress import task
from scanside.train.data.slice import Slice
from scanside.train.entry import as_words, facts_of
from scanside.train.heldout import inside_of
from scanside.train.metrics.case import Image
from scanside.train.metrics.contrast import Array, choose_centre, contrast_recovery
from scanside.train.simulators.ct import noise_fields

CONTRAST_HU = 40.0
RADII = (8, 3)
DRAWS = 50
AROUND = 96
"""Pixels either side of the disc that are enhanced: more than any network here can see."""
SEED = 50


class DiscRow(msgspec.Struct, frozen=True, kw_only=True):
    """Share of the contrast that is left (1 is all), and its 95% confidence interval."""

    method: str
    level: float
    radius: int
    recovery: float
    low: float
    high: float


def disc_table(
    engines: Mapping[str, Engine],
    slices: Sequence[Slice],
    levels: Sequence[float],
    draws: int = DRAWS,
) -> list[DiscRow]:
    """Every engine at every level (HU in soft tissue) with discs of both radii, over so many draws.

    All draws are of the slice in whose middle part soft tissue is flattest.
    """
    piece, centre = _flattest(slices)
    row, column = centre
    top, left = max(row - AROUND, 0), max(column - AROUND, 0)
    window = np.s_[top : row + AROUND, left : column + AROUND]
    fields = noise_fields(piece, 1.0, copies=draws, seed=SEED)[(slice(None), *window)]
    cut = piece._replace(values=piece.values[window])
    clean = cut.values.astype(np.float32)
    facts = facts_of(cut, "CT")
    rows = []
    with task("Discs of low contrast", len(engines) * len(levels) * len(RADII)) as progress:
        for name, engine in engines.items():

            def enhance(noisy: Array, engine: Engine = engine) -> Image:
                found: Image = engine.run(as_words(noisy, cut)[None], [facts])[0]
                return found

            for level in levels:
                noises = [level * field for field in fields]
                for radius in RADII:
                    found = contrast_recovery(
                        enhance, clean, noises, (row - top, column - left), radius, CONTRAST_HU
                    )
                    rows.append(
                        DiscRow(
                            method=name,
                            level=level,
                            radius=radius,
                            recovery=found.mean,
                            low=found.low,
                            high=found.high,
                        )
                    )
                    progress.advance(note=name)
    return rows


def _flattest(slices: Sequence[Slice]) -> tuple[Slice, tuple[int, int]]:
    best: tuple[float, Slice, tuple[int, int]] | None = None
    for piece in slices:
        try:
            row, column = choose_centre(piece.values, inside_of(piece.values, piece, "CT"), 8)
        except NoImagesError:
            continue
        spread = float(piece.values[row - 8 : row + 9, column - 8 : column + 9].std())
        if best is None or spread < best[0]:
            best = (spread, piece, (row, column))
    if best is None:
        raise NoImagesError(
            "no slice has flat soft tissue for a disc", next_step="--draws 0 leaves the discs out"
        )
    return best[1], best[2]
