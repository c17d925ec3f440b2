"""One clean image to train on, whatever file it came from."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.integer]
"""(R, C) int16 or uint16: whole modality values (CT: HU; MR, X-ray, ultrasound: as stored)."""


class Slice(NamedTuple):
    """values: bright is dense or strong: MONOCHROME1 is turned round already.

    bits: that the scanner stored; signed as the dtype is. They give the stored range, which X-ray
    and ultrasound are scaled by. pixel_mm: side of a pixel. padding: lowest and highest value that
    is padding, or None. patient: an opaque key, equal for the images of one patient, never written
    anywhere.
    """

    values: Values
    pixel_mm: float
    bits: int = 16
    padding: tuple[int, int] | None = None
    patient: str = ""

    @property
    def limits(self) -> tuple[int, int]:
        """The smallest and largest value that the bits hold."""
        if self.values.dtype.kind == "i":
            return -(1 << (self.bits - 1)), (1 << (self.bits - 1)) - 1
        return 0, (1 << self.bits) - 1
