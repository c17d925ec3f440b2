"""What a model's card has to say beside its PSNR: how much low contrast it leaves."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from scanside.runtime.engines import Engine
from scanside.runtime.errors import NoImagesError
from scanside.runtime.manifest import Acceptance
from scanside.train.data.slice import Slice
from scanside.train.discs import CONTRAST_HU, disc_table
from scanside.train.metrics.case import Case
from scanside.train.metrics.contrast import WARN_BELOW

LEVELS_HU = (20.0, 40.0)
DRAWS = 12
PIXEL_MM = 0.7


def with_low_contrast(acceptance: Acceptance, engine: Engine, cases: Sequence[Case]) -> Acceptance:
    """The acceptance with the share of a +40 HU disc's contrast that is left, at two sizes and two
    levels of noise, on held-out CT; and a warning where it is under a half."""
    slices = {
        case.clean.tobytes(): Slice(case.clean.astype(np.int16), PIXEL_MM, 16, case.facts.padding)
        for case in cases
    }
    try:
        rows = disc_table({"": engine}, list(slices.values()), LEVELS_HU, DRAWS)
    except NoImagesError:
        warning = "what is left of low contrast was not measured: no held-out image is flat enough"
        return msgspec.structs.replace(acceptance, warnings=(*acceptance.warnings, warning))
    figures, warnings = dict(acceptance.figures), list(acceptance.warnings)
    for row in rows:
        where = f"a +{CONTRAST_HU:g} HU disc of {row.radius} px radius at {row.level:g} HU of noise"
        figures[f"contrast left of {where}"] = round(row.recovery, 3)
        if row.recovery < WARN_BELOW:
            warnings.append(f"{where} keeps {row.recovery:.0%} of its contrast: it may be missed")
    return msgspec.structs.replace(acceptance, figures=figures, warnings=tuple(warnings))
