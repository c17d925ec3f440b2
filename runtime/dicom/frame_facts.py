"""The facts of each frame, from a header: modality, bits, rescale, padding."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from pydicom.dataset import Dataset

from scanside.runtime.errors import UnsupportedImageError
from scanside.runtime.frame import FrameFacts, stored_values

SHARED_GROUPS = "SharedFunctionalGroupsSequence"
FRAME_GROUPS = "PerFrameFunctionalGroupsSequence"


def items(dataset: Dataset, keyword: str) -> list[Dataset]:
    """The items of a sequence; none where it is absent or is no sequence."""
    value = dataset.get(keyword)
    return [item for item in value or () if isinstance(item, Dataset)]


def texts(dataset: Dataset, keyword: str) -> list[str]:
    """The values of an element as text; none where it is absent or empty."""
    value: Any = dataset.get(keyword)
    if value is None or value == "":
        return []
    many = [value] if isinstance(value, str | int | float) else list(value)
    return [str(one).strip() for one in many]


def integer(dataset: Dataset, keyword: str) -> int | None:
    """One whole number, None where it is absent; UnsupportedImageError if it is anything else."""
    try:
        value: Any = dataset.get(keyword)
        if value is None or value == "":
            return None
        return int(value)
    except (TypeError, ValueError, OverflowError):
        raise malformed(keyword) from None


def malformed(keyword: str) -> UnsupportedImageError:
    return UnsupportedImageError(
        f"{keyword} in the header is not usable",
        next_step="repair or export the image again",
        reason="malformed header",
    )


def frame_facts(dataset: Dataset, frames: int) -> tuple[FrameFacts, ...]:
    """One FrameFacts per frame; the caller has checked bits, sign and photometric.

    A rescale in a frame's own functional groups comes before the shared groups', and that before
    the top level's. Raises UnsupportedImageError where a number is no number.
    """
    own = items(dataset, FRAME_GROUPS)
    if own and len(own) != frames:
        raise malformed(FRAME_GROUPS)
    shared = items(dataset, SHARED_GROUPS)[:1]
    plain = FrameFacts(
        modality=str(dataset.get("Modality") or "").strip(),
        bits_stored=integer(dataset, "BitsStored") or 0,
        signed=integer(dataset, "PixelRepresentation") == 1,
        photometric=str(dataset.PhotometricInterpretation).strip(),
    )
    padding = _padding(dataset, plain)
    facts = []
    for index in range(frames):
        holders = [*own[index : index + 1], *shared]
        rescales = [r for h in holders for r in items(h, "PixelValueTransformationSequence")]
        slope, intercept = _rescale(next(iter(rescales), dataset))
        facts.append(
            FrameFacts(
                modality=plain.modality,
                bits_stored=plain.bits_stored,
                signed=plain.signed,
                photometric=plain.photometric,
                slope=slope,
                intercept=intercept,
                padding=padding,
            )
        )
    return tuple(facts)


def _rescale(holder: Dataset) -> tuple[float, float]:
    numbers = []
    for keyword, default in (("RescaleSlope", 1.0), ("RescaleIntercept", 0.0)):
        try:
            value: Any = holder.get(keyword)
            numbers.append(default if value is None or value == "" else float(value))
        except (TypeError, ValueError, OverflowError):
            raise malformed(keyword) from None
    slope, intercept = numbers
    if not (math.isfinite(slope) and slope != 0 and math.isfinite(intercept)):
        raise malformed("RescaleSlope or RescaleIntercept")
    return slope, intercept


def _padding(dataset: Dataset, facts: FrameFacts) -> tuple[int, int] | None:
    """Inclusive range of stored values that are padding, or None.

    Writers disagree on the VR (US for a negative value, SS for a large one) and on the bits above
    Bits Stored, so the value is taken as a 16-bit word and read as the pixels are.
    """
    first = integer(dataset, "PixelPaddingValue")
    if first is None:
        return None
    last = integer(dataset, "PixelPaddingRangeLimit")
    words = np.array([first, first if last is None else last]) & 0xFFFF
    lower, upper = np.sort(stored_values(words.astype(np.uint16), facts))
    return int(lower), int(upper)
