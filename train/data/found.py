"""What folders held: images to train on, and what was left out for which reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from scanside.train.data.slice import Slice

ANOTHER_MODALITY = "another modality"
TOO_SMALL = "too small"
CONSTANT = "constant"
NOT_HU = "not HU"


class Found(NamedTuple):
    """refused: reason -> files, or images where one file holds many and only some are left out.
    taken: kind of source ("DICOM series", "NIfTI volumes") -> images."""

    slices: list[Slice]
    refused: dict[str, int]
    taken: dict[str, int]

    def summary(self) -> list[str]:
        """Lines for the user; no names of files or patients."""
        patients = len({one.patient for one in self.slices})
        lines = [f"{_count(len(self.slices), 'image')} of {_count(patients, 'patient')} taken"]
        lines += [f"  {count} from {kind}" for kind, count in sorted(self.taken.items())]
        if self.refused:
            lines.append(f"{sum(self.refused.values())} left out: {reasons(self.refused)}")
        return lines


def reasons(refused: Mapping[str, int]) -> str:
    """`3 truncated, 1 mosaic`: the most frequent first."""
    ordered = sorted(refused.items(), key=lambda pair: (-pair[1], pair[0]))
    return ", ".join(f"{count} {reason}" for reason, count in ordered)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
