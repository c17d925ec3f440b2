"""Training and held-out images: split by patient, never by image."""

from __future__ import annotations

from collections.abc import Sequence

from scanside.runtime.errors import EmptySplitError
from scanside.train.data.slice import Slice

HELD_OUT_SHARE = 5


def split_by_patient(
    slices: Sequence[Slice], trained: Sequence[Slice] = (), share: int = HELD_OUT_SHARE
) -> tuple[list[Slice], list[Slice]]:
    """(training, held out): about one patient in `share` is held out, and never a part of one.

    With a single patient nothing is held out, nor ever a patient of `trained`. Raises
    EmptySplitError when nothing is left to train on.
    """
    known = {one.patient for one in trained}
    patients = sorted({one.patient for one in slices} - known)
    held = set(patients[::share]) if len(patients) > 1 else set()
    training = [one for one in slices if one.patient not in held]
    if not training:
        raise EmptySplitError(
            f"no patient is left to train on: {len(slices)} images, {len(held)} patients held out",
            next_step="give images of more patients",
        )
    return training, [one for one in slices if one.patient in held]
